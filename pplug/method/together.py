"""Several plugs in front of one frozen LLM at once: the same questions, read once; the same batches for all.

What stands in front of the soft prompt depends on nothing that is trained. Its keys and values are computed once for a
batch, without gradient, and shared by all plugs; with `before="answer"` that is the whole question, and what is left
for each plug is its soft prompt and the answer. K plugs, B examples, P soft tokens, H LLM width.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pplug.method.batches import Example, Visits, histories
from pplug.method.checkpoints import read_state, write_state
from pplug.method.finite import check_finite_weights
from pplug.method.joining import pad, read_front
from pplug.method.model import PromptedLM
from pplug.method.training import WEIGHT_DECAY, learn_crowd, learn_unknown

FEW = 3  # plugs, for the length of an example: with their true number, a plug's batches would depend on the others
CHUNK = 20  # batches among which examples are sorted by length: little padding, and the order stays nearly random


def losses(llm, tokenizer, softs: list[Tensor], examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """The negative log-likelihood of each example's target behind each of several soft prompts, *Paper: Eq. 6*.

    Args:
        llm: Decoder-only.
        tokenizer: Its tokenizer.
        softs: K soft prompts, each `[B, P, H]`; P may differ between them.
        examples: B examples with targets; of their histories nothing is read.

    Returns:
        `[K, B] float32`, nats of the whole target; and `[B] int64`, its tokens.
    """
    device, most = llm.device, max(soft.shape[1] for soft in softs)
    table, at_once = llm.get_input_embeddings(), len(softs)
    rest, rest_mask = pad([e.input_ids + e.target_ids for e in examples], tokenizer.pad_token_id, left=True)
    longest = max(len(example.target_ids) for example in examples)
    labels = pad([example.target_ids for example in examples], -100, left=True)[0].to(device)
    prompts = torch.stack([torch.nn.functional.pad(soft, (0, 0, most - soft.shape[1], 0)) for soft in softs], dim=1)
    holds = torch.tensor([[0] * (most - soft.shape[1]) + [1] * soft.shape[1] for soft in softs], device=device)
    mask = torch.cat([holds.repeat(len(examples), 1), rest_mask.to(device).repeat_interleave(at_once, 0)], dim=1)
    joined = table(rest.to(device)).repeat_interleave(at_once, 0)
    joined = torch.cat([prompts.flatten(0, 1).to(joined.dtype), joined], dim=1)
    # All padding goes to the left: the targets' ends meet, and logits are computed there alone.
    order = mask.argsort(dim=1, stable=True)
    joined, mask = joined.gather(1, order[..., None].expand_as(joined)), mask.gather(1, order)
    past, front_mask = read_front(llm, [example.before_ids for example in examples])
    if past is not None:
        past.batch_repeat_interleave(at_once)
        mask = torch.cat([front_mask.repeat_interleave(at_once, 0), mask], dim=1)
    places = (mask.cumsum(-1) - 1).clamp(min=0)[:, -joined.shape[1] :]
    given = {"attention_mask": mask, "position_ids": places, "past_key_values": past, "logits_to_keep": longest + 1}
    logits = llm(inputs_embeds=joined, use_cache=past is not None, **given).logits[:, :-1]
    labels = labels.repeat_interleave(at_once, 0)
    chosen = labels != -100
    each = torch.nn.functional.cross_entropy(logits[chosen].float(), labels[chosen], reduction="none")
    nats = torch.zeros(len(labels), device=device).index_add(0, chosen.nonzero()[:, 0], each)
    return nats.view(-1, at_once).T, (labels[::at_once] != -100).sum(1)


def soft_prompts(models: list[PromptedLM], some: list[Sequence[Example]]) -> list[Tensor]:
    """Each plug's soft prompt for its own examples; histories that several share are put together once."""
    made: dict[tuple, dict] = {}
    softs = []
    for model, examples in zip(models, some, strict=True):
        key = (*map(id, (example.history for example in examples)), model.plug.config.user)
        if key not in made:
            made[key] = histories(model, list(examples))
        given = made[key]
        softs.append(model.plug(given["query"], given["history"], given["history_mask"]))
    return softs


def train_together(
    models: list[PromptedLM],
    examples: list[list[Example]],
    steps: int,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    seed: int = 0,
    at_once: int | None = None,
    folder: Path | None = None,
    watch: Callable[[int, list[float]], None] | None = None,
) -> list[list[float]]:
    """Train several plugs for one decoder-only LLM, each as it would be alone, at a fraction of the cost.

    AdamW, weight decay, warm-up and linear decay as in `training.train`; gradients are clipped plug by plug. A batch's
    examples are of like length. Ten times on the way the state is kept, if there is a folder for it.

    Args:
        models: K models with the same LLM; their plugs are changed in place.
        examples: For each model the training examples, the same questions in the same order: only histories differ.
        steps: Optimiser steps.
        batch_size: Examples a step.
        learning_rate: Peak rate.
        seed: Of order, subsampling of histories, and dropout. (The plugs' initial weights are the caller's.)
        at_once: Plugs in memory at the same time; all of them if None.
        folder: Of this very training alone: where it was interrupted, it goes on; None keeps nothing.
        watch: Called ten times on the way, with the step and its losses; the plugs may then be asked, as on dev.

    Returns:
        For each model the loss of each step, nats per token.

    Raises:
        ValueError: The examples are not of the same questions.
        InputError: A weight is not finite any more.
    """
    from transformers import get_linear_schedule_with_warmup

    llm, tokenizer = models[0].llm, models[0].tokenizer
    for own in examples[1:]:
        if [(e.before_ids, e.target_ids) for e in own] != [(e.before_ids, e.target_ids) for e in examples[0]]:
            raise ValueError("plugs that are trained together: expected the same questions for all of them")
    for model, own in zip(models, examples, strict=True):
        learn_crowd(model, own)
    _set_training(models, True)
    torch.manual_seed(seed)
    optimizers = [torch.optim.AdamW(m.plug.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY) for m in models]
    schedules = [get_linear_schedule_with_warmup(one, int(0.05 * steps), steps) for one in optimizers]
    parts = [[model.plug for model in models], optimizers, schedules]
    visits = {id(own): Visits(own, steps * batch_size, seed) for own in examples}
    groups = [slice(at, at + (at_once or len(models))) for at in range(0, len(models), at_once or len(models))]
    curves, every = read_state(folder, parts), max(1, steps // 10)
    lengths = [_length(example) for example in examples[0]]
    for rows in _batches(lengths, visits[id(examples[0])].order, batch_size, seed)[len(curves) :]:
        seen = {key: [found[row] for row in rows] for key, found in visits.items()}
        some, step_losses = [seen[id(own)] for own in examples], []
        for group in groups:
            nats, tokens = losses(llm, tokenizer, soft_prompts(models[group], some[group]), some[0])
            loss = nats.sum(dim=1) / tokens.sum()
            loss.sum().backward()
            step_losses.append(loss.detach())
        for model, optimizer, schedule in zip(models, optimizers, schedules, strict=True):
            torch.nn.utils.clip_grad_norm_(model.plug.parameters(), 1.0)
            optimizer.step(), schedule.step(), optimizer.zero_grad()
        curves.append(torch.cat(step_losses))
        if len(curves) % every == 0:
            write_state(folder, parts, curves)
            if watch is not None:
                _set_training(models, False)
                watch(len(curves), curves[-1].tolist())
                _set_training(models, True)
    _set_training(models, False)
    for model, own in zip(models, examples, strict=True):
        check_finite_weights(model.plug, steps, learning_rate)
        learn_unknown(model, own)
    return torch.stack([each.cpu() for each in curves], dim=1).float().tolist()


@torch.inference_mode()
def nats_together(
    models: list[PromptedLM], examples: list[list[Example]], batch_size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """`likelihood.target_nats` of several plugs, or of one with several histories, at once.

    Args:
        models: K models with the same LLM, each with a plug.
        examples: For each the examples: the same questions and targets, other histories.
        batch_size: Examples at a time, of like length.

    Returns:
        `[K, examples] float64`, nats; and `[examples] int64`, tokens.
    """
    order = sorted(range(len(examples[0])), key=lambda row: _length(examples[0][row]))
    nats, tokens = np.zeros((len(models), len(order))), np.zeros(len(order), dtype=int)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        some = [[own[row] for row in rows] for own in examples]
        each, count = losses(models[0].llm, models[0].tokenizer, soft_prompts(models, some), some[0])
        nats[:, rows], tokens[rows] = each.double().cpu().numpy(), count.cpu().numpy()
    return nats, tokens


def _set_training(models: list[PromptedLM], mode: bool) -> None:
    for model in models:
        model.train(mode)


def _length(example: Example) -> int:
    """Tokens that are read: what stands in front of the soft prompts once, the rest by each of a few plugs."""
    return len(example.before_ids) + FEW * (len(example.input_ids) + len(example.target_ids))


def _batches(lengths: list[int], order: list[int], batch_size: int, seed: int) -> list[list[int]]:
    """The visits of each step: of like length, in random order."""
    rng, batches = random.Random(seed), []
    for start in range(0, len(order), CHUNK * batch_size):
        chunk = range(start, min(start + CHUNK * batch_size, len(order)))
        rows = sorted(chunk, key=lambda visit: lengths[order[visit]])
        some = [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
        batches += rng.sample(some, len(some))
    return batches
