"""Answering: what the plug adds to the frozen LLM's latency, against items in the prompt, and for a new user."""

import os
import statistics
import tempfile
import time
from unittest import mock

import numpy as np
import torch

from benchmarks.shapes import INPUT, OUTPUT, ReadyTokens, flan_t5_small
from benchmarks.timing import REPEATS, alternate
from pplug.data.tasks import build_input, get_task, history_text
from pplug.method.batches import Example, collate
from pplug.method.encoders import encode, encode_texts, load_encoder
from pplug.method.llm import load_llm
from pplug.method.model import build
from pplug.offline.simulate import make_user

TASK = "LaMP-4"
DECODING = {4: "4 beams as in the paper", 1: "greedy"}  # beams → in words

HISTORIES = (0, 8, 64, 512)
NEW_TOKENS = round(OUTPUT[0])
ITEM_TOKENS = round(INPUT[0] + OUTPUT[0])  # a headline item in the prompt: an article's first words and its title


def rows() -> list[dict]:
    """Time one user's answer without and with the plug, and the encoder's pass over what is in front of it."""
    llm, encoder = flan_t5_small(), load_encoder(device="cpu")
    torch.manual_seed(0)
    model = build(llm, ReadyTokens(), encoder)
    ids, with_items = (_tokens(llm, n) for n in (round(INPUT[0]), round(INPUT[0]) + 4 * ITEM_TOKENS))
    histories = {n: _unit(n, encoder.width) for n in HISTORIES}

    def joined(items: int):
        """As `PersonalizedLM.generate` does for vectors that are already in the store; encodes the question itself."""
        query = encode_texts(encoder, ["the words of a question " * 5], is_query=True, progress=False)[0]
        example = Example(ids[0].tolist(), [], histories[items], query, "")
        return model.join(**collate(model, [example], for_generation=True))[0]

    embed = llm.get_input_embeddings()
    ways = {"plain": lambda: embed(ids), "4 items": lambda: embed(with_items)}
    ways |= {n: lambda n=n: joined(n) for n in HISTORIES}
    with torch.inference_mode():
        seconds = {beams: _answering(llm, ways, beams) for beams in DECODING}
        prompt = {"4 items": embed(with_items), "plug": joined(HISTORIES[-1])}
        read = alternate({name: lambda e=e: llm.encoder(inputs_embeds=e) for name, e in prompt.items()}, repeats=25)
    greedy = seconds[1]
    return [_latency(seconds[beams], told) for beams, told in DECODING.items()] + [
        {
            "what": "prompt processing, 4 items in the prompt ÷ plug",
            "goal": "≥ 3",
            "value": read["4 items"] / read["plug"],
            "detail": f"{read['4 items'] * 1e3:.1f} against {read['plug'] * 1e3:.1f} ms; end to end, greedy, "
            f"{greedy['4 items'] * 1e3:.1f} against {greedy[HISTORIES[-1]] * 1e3:.1f} ms",
        },
        _new_user(),
    ]


def _answering(llm, ways: dict, beams: int) -> dict:
    """Seconds of an answer of `NEW_TOKENS` tokens, what stands in front included."""

    def generate(make):
        embeds = make()
        options = {"num_beams": beams, "min_new_tokens": NEW_TOKENS, "max_new_tokens": NEW_TOKENS}
        llm.generate(inputs_embeds=embeds, attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long), **options)

    return alternate({name: lambda make=make: generate(make) for name, make in ways.items()}, repeats=15)


def _latency(seconds: dict, decoding: str) -> dict:
    slowest = max(HISTORIES, key=seconds.get)
    ms = ", ".join(f"{n}: {seconds[n] * 1e3:.1f}" for n in HISTORIES)
    return {
        "what": f"generation latency with the plug ÷ without, {decoding}, the largest of 0 … 512 items",
        "goal": "≤ 1.05",
        "value": seconds[slowest] / seconds["plain"],
        "detail": f"without {seconds['plain'] * 1e3:.1f} ms; with, by items, {ms} ms (question's encoding included)",
    }


def _tokens(llm, n: int) -> torch.Tensor:
    return torch.randint(3, llm.config.vocab_size, (1, n))


def _unit(n: int, width: int) -> np.ndarray:
    vectors = np.random.default_rng(n).standard_normal((n, width), dtype=np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def _new_user() -> dict:
    """One user nobody has met: 100 texts and a question, to the first answer, by the stand-in."""
    llm, tokenizer = load_llm("standin")
    encoder = load_encoder(device="cpu")
    torch.manual_seed(0)
    model = build(llm, tokenizer, encoder, facts={"task": TASK})
    beyond, encoding = [], []
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, {"PPLUG_CACHE": cache}):
        for i in range(REPEATS + 1):
            user = make_user(TASK, f"new{i}", 0, 100)
            history = [text.item for text in user.texts[:100]]
            asked = build_input(get_task(TASK), **user.texts[100].slots)
            texts = [history_text(get_task(TASK), item) for item in history]
            start = time.perf_counter()
            encode(encoder, texts, progress=False)
            encoded = time.perf_counter()
            model.generate(asked, history)
            beyond.append(time.perf_counter() - encoded)
            encoding.append(encoded - start)
    value, encoded = (statistics.median(values[1:]) for values in (beyond, encoding))
    return {
        "what": "a new user with 100 new texts: seconds to the first answer beyond encoding them, no training",
        "goal": "< 1",
        "value": value,
        "detail": f"encoding them {encoded:.2f} s; stand-in LLM",
    }
