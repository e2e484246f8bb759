"""How likely the LLM finds a text that is known: the true reply, or each of several."""

import numpy as np
import torch

from pplug.method.batches import Example, collate
from pplug.method.joining import run_llm
from pplug.method.model import PromptedLM


@torch.inference_mode()
def target_nats(model: PromptedLM, examples: list[Example], batch_size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """The negative log-likelihood of each example's target, *Paper: Eq. 6* before any mean.

    Args:
        model: With or without a plug.
        examples: With targets, from `batches.prepare`.
        batch_size: Examples at a time, of like length.

    Returns:
        `[examples] float64`, nats of the whole target, its end token included; and `[examples] int64`, its tokens.
    """
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].input_ids) + len(examples[i].target_ids))
    nats, tokens = np.zeros(len(examples)), np.zeros(len(examples), dtype=int)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collate(model, [examples[i] for i in rows])
        labels = batch.pop("labels")
        output, n = run_llm(model.llm, *model.join(**batch), labels, only_targets=True), labels.shape[1]
        logits = output.logits.float()
        if not model.is_encoder_decoder:  # a position predicts the next token; the first may stand behind a soft token
            logits, labels = logits[:, -n - 1 : -1], labels[:, -(logits.shape[1] - 1) :]
        each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")  # 0 where -100
        nats[rows], tokens[rows] = each.sum(1).double().cpu(), (labels != -100).sum(1).cpu()
    return nats, tokens
