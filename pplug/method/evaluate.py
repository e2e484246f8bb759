"""Predictions → scores with intervals, paired tests, and the controls every evaluation prints beside the plug."""

import random
from dataclasses import replace

import numpy as np

from pplug.base.errors import InputError
from pplug.method.batches import Example, collate
from pplug.method.model import PersonalizedLM
from pplug.method.prompts import with_prompts


def predict(model: PersonalizedLM, examples: list[Example], batch_size: int = 64, **options) -> list[str]:
    """Generate for many examples, in batches of similar length.

    Args:
        model: With or without a plug.
        examples: From `batches.prepare`.
        batch_size: Examples at a time.
        **options: For the LLM's `generate`.

    Returns:
        One text for each example, in the order given.
    """
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].input_ids))
    texts = [""] * len(examples)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collate(model, [examples[i] for i in rows], for_generation=True)
        for i, text in zip(rows, model.generate_batch(batch, **options), strict=True):
            texts[i] = text
    return texts


def answer_prompts(plain: PersonalizedLM, prompts: list[str], **options) -> list[str]:
    """Generate from text alone.

    Args:
        plain: An LLM without plug.
        prompts: What to answer; cut at 512 tokens.
        **options: For the LLM's `generate`.

    Returns:
        One text for each prompt.
    """
    nothing = np.zeros((0, 0), dtype=np.float16)
    empty = [Example([], [], nothing, nothing, "")] * len(prompts)
    return predict(plain, with_prompts(plain, empty, prompts), **options)


def swap_histories(examples: list[Example], user_ids: list[str], seed: int) -> list[Example]:
    """Give each example the history of another, randomly drawn user; everything else stays.

    Raises:
        ValueError: If all examples are one user's.
    """
    if len(set(user_ids)) < 2:
        raise InputError("swapping histories needs at least two users")
    rng = random.Random(seed)
    swapped = []
    for example, user_id in zip(examples, user_ids, strict=True):
        donor = rng.randrange(len(examples))
        while user_ids[donor] == user_id:
            donor = rng.randrange(len(examples))
        swapped.append(replace(example, history=examples[donor].history))
    return swapped
