"""Answering: questions of served users, and examples, in batches of like length; and what the LLM is given, to look at.

Nothing of a served user or question reaches the disk.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pplug.base import InputError
from pplug.data import query_text
from pplug.method.batches import Example, collate, prepare_example
from pplug.method.budget import new_tokens
from pplug.method.encoders import encode_texts
from pplug.method.model import PromptedLM
from pplug.method.prompts import MAX_TARGET
from pplug.method.user import User


def predict(model: PromptedLM, examples: list[Example], batch_size: int = 64, **options) -> list[str]:
    """Generate for many examples, in batches of similar length.

    Args:
        model: With or without a plug.
        examples: From `batches.prepare` or `questions`.
        batch_size: Examples at a time.
        **options: For the LLM's `generate`.

    Returns:
        One text for each example, in the order given.
    """
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].before_ids) + len(examples[i].input_ids))
    texts = [""] * len(examples)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collate(model, [examples[i] for i in rows], for_generation=True)
        for i, text in zip(rows, model.generate_batch(batch, **options), strict=True):
            texts[i] = text
    return texts


def questions(model: PromptedLM, texts: list[str], users: list[User], answer: int = MAX_TARGET) -> list[Example]:
    """Inputs of users, ready for batching.

    Args:
        model: With a plug.
        texts: Inputs that follow the task's template.
        users: As many, from `model.user`.
        answer: Tokens of the answer that the LLM's positions must leave.

    Raises:
        InputError: An input does not follow the template, or a user was made for another plug.
    """
    task, plug = model.task, model.plug
    for user in {id(user): user for user in users}.values():
        if not isinstance(user, User):
            raise InputError(f"expected a user, from model.user(history), found {type(user).__name__}")
        user.check(model)
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"expected a text that follows {task.template!r}, found {type(text).__name__}")
    asked = [query_text(task, text, plug.config.full_query) for text in texts]
    if plug.input_encoder is not None and plug.input_encoder.backbone is None:
        vectors = encode_texts(model.encoder, asked, is_query=True, progress=False).astype(np.float16)
    else:  # the plug reads no question, or the text itself
        vectors = np.zeros((len(texts), plug.config.encoder_width), dtype=np.float16)
    examples = []
    for text, user, vector, query in zip(texts, users, vectors, asked, strict=True):
        history, features = user.rows(plug.config.encoder_width)
        example = prepare_example(model, text, None, history, vector, query, task, answer)
        examples.append(replace(example, features=features))
    return examples


def answer(
    model: PromptedLM, text: str | list[str], user: User | list[User], streamer, batch_size: int, **options
) -> str | list[str]:
    """What `PersonalizedLM.generate` does."""
    texts = [text] if isinstance(text, str) else list(text)
    users = list(user) if isinstance(user, list | tuple) else [user] * len(texts)
    if len(users) != len(texts):
        raise InputError(f"expected as many users as texts, or one: {len(users)} users, {len(texts)} texts")
    if streamer is not None:
        if len(texts) != 1:
            raise InputError(f"a streamer takes one text at a time, found {len(texts)}")
        options["streamer"] = streamer
    options = {"max_new_tokens": new_tokens(model.task, model.tokenizer)} | options
    asked = questions(model, texts, users, options["max_new_tokens"])
    answers = predict(model, asked, batch_size, **options)
    return answers[0] if isinstance(text, str) else answers


@torch.inference_mode()
def soft_prompt(model: PromptedLM, text: str, user: User) -> Tensor:
    """What `PersonalizedLM.soft_prompt` gives."""
    batch = _batch(model, text, user)
    given = [batch[name] for name in ("query", "history", "history_mask")]
    return model.plug(*given, batch.get("history_features"))[0].float().cpu()


@torch.inference_mode()
def weights(model: PromptedLM, text: str, user: User) -> Tensor:
    """What `PersonalizedLM.weights` gives."""
    if not model.plug.config.user:
        raise InputError("this plug has no user embedding, so no item has a weight")
    batch = _batch(model, text, user)
    if user.total is not None:
        return torch.full((len(user),), 1 / max(1, len(user)))
    return model.plug.weights(batch["query"], batch["history"], batch["history_mask"])[0, : len(user)].float().cpu()


@torch.inference_mode()
def prompt_embeds(model: PromptedLM, text: str, user: User) -> Tensor:
    """What `PersonalizedLM.prompt_embeds` gives."""
    joined, mask = model.join(**_batch(model, text, user))
    return joined[0, mask[0].bool()].float().cpu()


def _batch(model: PromptedLM, text: str, user: User) -> dict:
    return collate(model, questions(model, [text], [user]), for_generation=True)
