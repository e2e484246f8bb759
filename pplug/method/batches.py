"""Examples → batches: each text encoded once, dynamic padding, history subsampling."""

import hashlib
import json
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from pplug.base import InputError
from pplug.data import Data, Task, history_text, query_text
from pplug.method.budget import MAX_PROMPT, fit_input, prompt_budget
from pplug.method.encoders import encode
from pplug.method.joining import pad
from pplug.method.model import PromptedLM
from pplug.method.prompts import MAX_TARGET, prompt_ids, target_ids
from pplug.method.release import DROPPED, VISITS


@dataclass(frozen=True)
class Example:
    """One example, ready for batching.

    Attributes:
        input_ids: The input's tokens behind the soft prompt.
        target_ids: The target's tokens; empty where there is no target.
        history: `[N, D]` float16, unit length, oldest first.
        query: `[D]` float16, the input's frozen vector.
        query_text: The text the input encoder reads.
        before_ids: Tokens in front of the soft prompt: the start token, the beginning of a chat model's template, an
            item as text (the paper's *PPlug + Retrieval*), or all of the input where the plug's `before` is `answer`.
        features: `[N, H]` float32, the projector's first layer of the history where it is known, as of a served user;
            None where the plug is to compute it.
    """

    input_ids: list[int]
    target_ids: list[int]
    history: np.ndarray
    query: np.ndarray
    query_text: str
    before_ids: list[int] = field(default_factory=list)
    features: Tensor | None = None


def prepare_example(
    model: PromptedLM,
    text: str,
    target: str | None,
    history: np.ndarray,
    query: np.ndarray,
    query_text: str,
    task: Task | None = None,
    answer: int = MAX_TARGET,
) -> Example:
    """Tokenise one input and target.

    Args:
        model: Tells LLM, tokenizer and plug.
        text: The input.
        target: What is to be answered; None where that is not known.
        history: See `Example`.
        query: See `Example`.
        query_text: See `Example`.
        task: Whose template the input follows: of an input that is too long, what stands in its slots is cut. Without
            one, its end is cut.
        answer: Tokens of the answer that the LLM's positions must leave.
    """
    most = prompt_budget(model, answer=answer)
    if task is not None:
        text = fit_input(task, text, model.tokenizer, most)
    before_ids, input_ids = _placed(model, text, most)
    ended = [] if target is None else target_ids(model.tokenizer, target, model.is_encoder_decoder)
    return Example(input_ids, ended, history, query, query_text, before_ids)


def _placed(model: PromptedLM, text: str, most: int) -> tuple[list[int], list[int]]:
    """An input's tokens in front of the soft prompt and behind it."""
    before_ids, input_ids = prompt_ids(model.tokenizer, text, model.is_encoder_decoder, most)
    if model.plug is not None and model.plug.config.before == "answer":
        return before_ids + input_ids, []
    return before_ids, input_ids


def prepare(model: PromptedLM, data: Data, examples: list[dict], cache: Path | None = None) -> list[Example]:
    """Encode and tokenise examples, and of the history table the items they use.

    Each distinct text is encoded once, ever: vectors come from the on-disk store.

    Args:
        model: Tells encoder, tokenizer and the plug's choices.
        data: Where the examples' profiles point to.
        examples: Rows of `data.splits[...]`, or `held_out_examples`.
        cache: Folder of the vector store.

    Returns:
        The examples in the same order.
    """
    config = model.plug.config if model.plug is not None else None
    newest = -config.max_history if config is not None and config.max_history else 0
    profiles = [example["profile"][newest:] for example in examples]
    used = sorted({row for profile in profiles for row in profile})
    with_label = config is None or config.with_label
    texts = [history_text(data.task, item, with_label) for item in data.history.select(used)]
    vectors = encode(model.encoder, texts, cache)
    query_texts = [query_text(data.task, e["input"], config is not None and config.full_query) for e in examples]
    queries = encode(model.encoder, query_texts, cache, is_query=True)
    return [
        prepare_example(
            model,
            example["input"],
            example["output"],
            vectors[np.searchsorted(used, np.array(profile, dtype=int))],
            queries[i],
            query_texts[i],
            data.task,
        )
        for i, (example, profile) in enumerate(zip(examples, profiles, strict=True))
    ]


def with_prompts(model: PromptedLM, prepared: list[Example], prompts: list[str]) -> list[Example]:
    """The same examples, but the LLM reads these prompts; query and history stay."""
    changed, most = [], prompt_budget(model, MAX_PROMPT)
    for example, text in zip(prepared, prompts, strict=True):
        before_ids, input_ids = _placed(model, text, most)
        changed.append(replace(example, before_ids=before_ids, input_ids=input_ids))
    return changed


def encode_history(model: PromptedLM, data: Data, cache: Path | None = None) -> None:
    """Encode the whole history table ahead of several calls of `prepare`, which then find its vectors in the store.

    In half precision, a vector's last bits depend on the texts beside it in a batch. An experiment encodes all of its
    data in one go, so that its vectors do not depend on which examples come first.

    Args:
        model: Tells encoder and the plug's choices.
        data: Whose history table it is.
        cache: Folder of the vector store.
    """
    encode(model.encoder, data.history_texts(model.plug is None or model.plug.config.with_label), cache)


def subsample(history: np.ndarray, rng: random.Random) -> np.ndarray:
    """Drop a random 0-50 % of a history's items (up to `release.DROPPED`), in training only.

    Args:
        history: `[N, D]`.
        rng: Source of randomness.

    Returns:
        `[M, D]`, order kept. Histories of up to 2 items stay whole, and so does one draw in eleven.

    Note:
        The authors' release writes every example 11 times, once whole and 10 times with 0-50 % of its items dropped,
        without a seed; the paper does not mention it. Drawing anew at each visit has the same distribution.
    """
    if len(history) <= 2 or rng.random() < 1 / VISITS:
        return history
    keep = len(history) - int(rng.random() * DROPPED * len(history))
    return history[sorted(rng.sample(range(len(history)), keep))]


def examples_hash(examples: list[Example]) -> str:
    """Hash of all that prepared examples hold: tokens, targets, query text and vectors."""
    digest = hashlib.sha256()
    for example in examples:
        shape = example.history.shape
        parts = [example.before_ids, example.input_ids, example.target_ids, example.query_text, shape]
        digest.update(json.dumps(parts).encode())
        for vectors in (example.history, example.query):
            digest.update(np.ascontiguousarray(vectors).tobytes())
    return digest.hexdigest()


class Visits(Dataset):
    """The whole training as one list of visits, so that a resumed run sees exactly what an uninterrupted one would.

    Visit `v` is an example and a seed for its subsampling, both functions of `(seed, v)` alone. Each example comes once
    before any comes twice.
    """

    def __init__(self, examples: list[Example], n_visits: int, seed: int):
        if not examples:
            raise InputError("there are no training examples")
        self.examples, self.seed = examples, seed
        rng = random.Random(seed)
        self.order: list[int] = []
        while len(self.order) < n_visits:
            self.order += rng.sample(range(len(examples)), len(examples))
        del self.order[n_visits:]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, visit: int) -> Example:
        example = self.examples[self.order[visit]]
        return replace(example, history=subsample(example.history, random.Random(f"{self.seed}/{visit}")))


def collate(model: PromptedLM, examples: list[Example], for_generation: bool = False) -> dict:
    """Make a batch, padded to its own longest input, target and history.

    Args:
        model: Tells tokenizer, kind of LLM, plug and device.
        examples: B examples.
        for_generation: Leave the targets out; pad a decoder-only LLM's inputs on the left.

    Returns:
        Arguments of `PersonalizedLM.forward` (or `generate_batch`), on the LLM's device.
    """
    seq2seq, device = model.is_encoder_decoder, model.llm.device
    inputs = [example.input_ids for example in examples]
    if not seq2seq and not for_generation:
        inputs = [example.input_ids + example.target_ids for example in examples]
    input_ids, mask = pad(inputs, model.tokenizer.pad_token_id, left=not seq2seq and for_generation)
    batch = {"input_ids": input_ids, "attention_mask": mask}
    if not for_generation:
        targets = [example.target_ids for example in examples]
        if not seq2seq:
            targets = [[-100] * len(example.input_ids) + example.target_ids for example in examples]
        batch["labels"] = pad(targets, -100)[0]
    if model.plug is not None:
        batch |= histories(model, examples)
    if any(example.before_ids for example in examples):
        before = [example.before_ids for example in examples]
        batch["before_ids"], batch["before_mask"] = pad(before, model.tokenizer.pad_token_id, left=True)
    return {name: _to(value, device) for name, value in batch.items()}


def histories(model: PromptedLM, examples: list[Example]) -> dict:
    """What the plug is given of a batch, padded to the longest history: history, mask, features, and the query."""
    plug = model.plug
    vectors = [example.history if plug.config.user else example.history[:0] for example in examples]
    rows = [torch.from_numpy(np.asarray(history, dtype=np.float32)) for history in vectors]
    rows.append(torch.zeros(1, plug.config.encoder_width))  # not a user's: a batch is at least one item long
    history = pad_sequence(rows, batch_first=True)[:-1]
    keep = torch.arange(history.shape[1]) < torch.tensor([[len(history)] for history in vectors])
    batch = {"history": history, "history_mask": keep}
    if plug.config.user and all(example.features is not None for example in examples):
        features = torch.zeros(len(examples), history.shape[1], plug.config.features_width, device=model.llm.device)
        for row, example in enumerate(examples):
            features[row, : len(example.features)] = example.features
        batch["history_features"] = features
    if plug.input_encoder is not None and plug.input_encoder.backbone is not None:
        batch["query"] = model.encoder.tokenize([example.query_text for example in examples], is_query=True)
    else:
        batch["query"] = torch.from_numpy(np.stack([example.query for example in examples]).astype(np.float32))
    return {name: _to(value, model.llm.device) for name, value in batch.items()}


def _to(value, device):
    return {key: v.to(device) for key, v in value.items()} if isinstance(value, dict) else value.to(device)
