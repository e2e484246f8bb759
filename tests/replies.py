"""A task of one's own, and vectors that follow from a text alone: what tests of the public calls need of an encoder."""

import hashlib

import numpy as np
import tiny

from pplug.data.tasks import Task

TASK = Task(name="replies", template="Reply to: {message}", fields=("message", "reply"))


def items(*words: str) -> list[dict]:
    """A history item for each word."""
    return [{"message": f"{word}?", "reply": f"{word}!"} for word in words]


def encode_texts(encoder, texts, is_query=False, batch_size=64, progress=True) -> np.ndarray:
    """Stands for `encoders.encode_texts`: `[N, D] float32` unit vectors, other ones for queries."""
    rows = [np.zeros((0, encoder.width))]
    for text in texts:
        seed = int.from_bytes(hashlib.sha256(f"{is_query}{text}".encode()).digest()[:4])
        rows.append(np.random.default_rng(seed).normal(size=(1, encoder.width)))
    drawn = np.concatenate(rows)
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def patch_encoder(monkeypatch) -> None:
    """Let users and questions be encoded by this one."""
    for module in ("user", "answering"):
        monkeypatch.setattr(f"pplug.method.{module}.encode_texts", encode_texts)


def make_model(llm, task=TASK, **choices):
    """A new plug in front of a small LLM and its tokenizer."""
    from pplug.method.personalized import PersonalizedLM

    return PersonalizedLM.create(task, *llm, encoder=tiny.MadeUpEncoder(), **choices)
