"""Blurring user embeddings, so that they give away less, and answering from blurred ones.

All vectors are `[n, W]`, one user a row.
"""

import copy
from collections.abc import Callable

import numpy as np

from pplug.method import Example, PersonalizedLM, collate

Blur = Callable[[np.ndarray], np.ndarray]  # [n, W] → [n, W]


def round_to(bits: int, like: np.ndarray) -> Blur:
    """Make a rounding: each number is kept in so many bits, in equal steps over three spreads to either side.

    Args:
        bits: 1 keeps the sign alone: above or below the middle of all users.
        like: `[k, W]`, vectors whose middle and spread, number by number, are the scale; they are no secret.

    Returns:
        A function of vectors `[n, W]`.
    """
    middle, spread = like.mean(axis=0), like.std(axis=0)
    reach = 3 * spread if bits > 1 else 2 * spread * np.sqrt(2 / np.pi)  # of the sign: ± the mean distance
    step = np.maximum(2 * reach / 2**bits, 1e-12)

    def rounded(vectors: np.ndarray) -> np.ndarray:
        cell = np.clip(np.floor((vectors - middle) / step), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return (middle + (cell + 0.5) * step).astype(np.float32)

    return rounded


def add_noise(size: float, like: np.ndarray, seed: int) -> Blur:
    """Make a noise: independent draws from a normal distribution, new ones at each call.

    Args:
        size: Standard deviation, in spreads of `like`, number by number.
        like: `[k, W]`, see `round_to`.
        seed: Of the draws.

    Returns:
        A function of vectors `[n, W]`.
    """
    spread, rng = like.std(axis=0), np.random.default_rng(seed)
    return lambda vectors: (vectors + size * spread * rng.normal(size=vectors.shape)).astype(np.float32)


def answer_from(
    model: PersonalizedLM, examples: list[Example], vectors: np.ndarray, batch_size: int = 64, **options
) -> list[str]:
    """Answer from ready-made user embeddings, as a service would that is sent these and never the histories.

    Args:
        model: With a plug.
        examples: The questions; their histories are not looked at.
        vectors: `[n, P·H]`, from `maps.user_embeddings`, blurred or not.
        batch_size: Examples at a time.
        **options: For the LLM's `generate`.

    Returns:
        One text for each example.
    """
    import torch

    plug, tokens = copy.copy(model.plug), model.plug.config.soft_tokens
    plug.user_embedding = lambda query, history, mask, features: history[:, 0].unflatten(-1, (tokens, -1))
    service = PersonalizedLM(model.llm, model.tokenizer, plug, model.encoder, model.facts)
    texts = []
    for start in range(0, len(examples), batch_size):
        batch = collate(model, examples[start : start + batch_size], for_generation=True)
        sent = torch.from_numpy(vectors[start : start + batch_size]).to(model.llm.device)[:, None]
        batch |= {"history": sent, "history_mask": torch.ones_like(sent[..., 0], dtype=torch.bool)}
        texts += service.generate_batch(batch, **options)
    return texts


def keep_all(like: np.ndarray) -> Blur:
    """Make the blur that changes nothing."""
    return lambda vectors: vectors
