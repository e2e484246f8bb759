"""What a way to personalise costs: parameters, bytes and seconds for each user, tokens in the prompt, latency."""

import json
import statistics
import time
from dataclasses import dataclass

import numpy as np

from pplug.data import Data
from pplug.method import Encoder, Example, PersonalizedLM, encode_texts, predict

TIMED_USERS = 10  # whose answers, or whose encoding, are timed


@dataclass(frozen=True)
class Cost:
    """The cost of one way on one task.

    Attributes:
        trained: Parameters trained in all, those of every user included.
        per_user: Of these, for each user.
        stored_bytes: Kept for each user, mean.
        new_user_seconds: To add one user, mean: encoding, summarising or training; nothing where texts are only kept.
        prompt_tokens: Positions the LLM reads before it answers, mean.
        latency: Seconds of one answer over those without personalisation, once retrieval and encoding are done.
    """

    trained: int = 0
    per_user: int = 0
    stored_bytes: float = 0.0
    new_user_seconds: float = 0.0
    prompt_tokens: float = 0.0
    latency: float = 1.0


def prompt_tokens(model: PersonalizedLM, prepared: list[Example]) -> float:
    """Mean number of positions in front of the answer, soft tokens included."""
    soft = 0 if model.plug is None else model.plug.tokens
    return float(np.mean([len(example.input_ids) + len(example.before_ids) for example in prepared])) + soft


def latency(model: PersonalizedLM, prepared: list[Example], plain: PersonalizedLM, given: list[Example], **options):
    """One user's answer with `model`, over one with the `plain` LLM: the ratio of medians, timed in turn.

    Both may share an LLM, which must then be the same in both: what is installed in it is timed by `seconds_of_one`.

    Args:
        model: The way to be timed.
        prepared: What it is given.
        plain: The LLM without plug.
        given: What that is given, for the same users.
        **options: For the LLM's `generate`.
    """
    seconds: tuple[list[float], list[float]] = [], []
    pairs = list(zip(prepared, given, strict=True))[:TIMED_USERS]
    for each in (pairs[0], *pairs):  # the first is a warm-up
        for spent, way, example in zip(seconds, (model, plain), each, strict=True):
            spent.append(_seconds(way, example, options))
    mine, theirs = (statistics.median(spent[1:]) for spent in seconds)
    return mine / theirs


def seconds_of_one(model: PersonalizedLM, prepared: list[Example], **options) -> float:
    """The median of the seconds that one user's answer takes; the first answer is a warm-up."""
    chosen = prepared[:TIMED_USERS]
    return statistics.median([_seconds(model, example, options) for example in (chosen[0], *chosen)][1:])


def _seconds(model: PersonalizedLM, example: Example, options: dict) -> float:
    start = time.perf_counter()
    predict(model, [example], **options)
    return time.perf_counter() - start


def text_bytes(data: Data, examples: list[dict]) -> float:
    """Mean bytes of a user's items as text."""
    size = [len(json.dumps(item, ensure_ascii=False).encode()) for item in data.items]
    return float(np.mean([sum(size[row] for row in example["profile"]) for example in examples]))


def vector_bytes(prepared: list[Example]) -> float:
    """Mean bytes of a user's history vectors in half precision."""
    return float(np.mean([example.history.astype(np.float16).nbytes for example in prepared]))


def encoding_seconds(encoder: Encoder, data: Data, examples: list[dict]) -> float:
    """Mean seconds to encode a user's whole history, none of it known before."""
    texts, start = data.history_texts(), time.perf_counter()
    for example in examples[:TIMED_USERS]:
        encode_texts(encoder, [texts[row] for row in example["profile"]], progress=False)
    return (time.perf_counter() - start) / len(examples[:TIMED_USERS])


def count_trained(model: PersonalizedLM) -> int:
    """Parameters of a plug that training changes."""
    return sum(p.numel() for p in model.plug.parameters() if p.requires_grad)
