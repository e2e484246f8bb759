"""How likely the LLM finds a text that is known: the true reply, or each of several."""

import numpy as np
import torch

from pplug.method.batches import Example, collate
from pplug.method.joining import run_llm
from pplug.method.model import PromptedLM


def target_nats(model: PromptedLM, examples: list[Example], batch_size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """The negative log-likelihood of each example's target, *Paper: Eq. 6* before any mean.

    Args:
        model: With or without a plug.
        examples: With targets, from `batches.prepare`.
        batch_size: Examples at a time, of like length.

    Returns:
        `[examples] float64`, nats of the whole target, its end token included; and `[examples] int64`, its tokens.
    """
    each = token_nats(model, examples, batch_size)
    return np.array([nats.sum() for nats in each]), np.array([len(nats) for nats in each], dtype=int)


@torch.inference_mode()
def token_nats(model: PromptedLM, examples: list[Example], batch_size: int = 16) -> list[np.ndarray]:
    """The same token by token: of each example `[tokens] float64`. Arguments as of `target_nats`."""
    lengths = [len(e.before_ids) + len(e.input_ids) + len(e.target_ids) for e in examples]
    order = sorted(range(len(examples)), key=lengths.__getitem__)
    found: list[np.ndarray] = [np.zeros(0)] * len(examples)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collate(model, [examples[i] for i in rows])
        labels = batch.pop("labels")
        output, n = run_llm(model.llm, *model.join(**batch), labels, only_targets=True), labels.shape[1]
        logits = output.logits.float()
        if not model.is_encoder_decoder:  # a position predicts the next token; the first may stand behind a soft token
            logits, labels = logits[:, -n - 1 : -1], labels[:, -(logits.shape[1] - 1) :]
        each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").double().cpu()
        for row, nats, is_target in zip(rows, each.numpy(), (labels != -100).cpu().numpy(), strict=True):
            found[row] = nats[is_target]
    return found
