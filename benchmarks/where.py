"""Where the time of a training step goes, part by part, and the least each part could take on this machine."""

import statistics
import time
from collections import defaultdict
from contextlib import contextmanager
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode

from pplug.base.hardware import has_bfloat16
from pplug.method.batches import Example, Visits, collate
from pplug.method.personalized import PersonalizedLM

PARTS = ("data", "query encoder", "projector", "LLM forward", "LLM backward", "plug backward", "optimiser")


def parts_of_a_step(model: PersonalizedLM, examples: list[Example], batch_size: int, steps: int = 8) -> dict[str, dict]:
    """Take training steps apart.

    Args:
        model: With the plug to train; its weights change.
        examples: Training examples.
        batch_size: Examples a step.
        steps: How many steps to take; the first one warms up and does not count.

    Returns:
        Part → `seconds`, the median over steps, and `flops`, the first step's multiplications and additions in matrix
        products (0 where there are none).
    """
    spent, flops = defaultdict(list), defaultdict(int)
    parameters = [p for p in model.plug.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-4, fused=True)
    visits, inputs = Visits(examples, steps * batch_size, 0), model.llm.get_input_embeddings()
    counting = False

    @contextmanager
    def part(name: str):
        if counting:
            with FlopCounterMode(display=False) as counted:
                yield
            flops[name] += counted.get_total_flops()
        else:
            start = time.perf_counter()
            yield
            spent[name].append(time.perf_counter() - start)

    query_encoder = model.plug.train().input_encoder
    for step in range(steps):
        counting = step == 0  # counting takes time: the step that warms up is not timed
        with part("data"):
            batch = collate(model, [visits[i] for i in range(step * batch_size, (step + 1) * batch_size)])
        labels, mask = batch.pop("labels"), batch.pop("attention_mask")
        ids = batch.pop("input_ids")
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16("cpu")):
            with part("query encoder"):
                x = query_encoder(batch["query"])
            with mock.patch.object(query_encoder, "forward", lambda _, x=x: x), part("projector"):
                soft = model.plug(batch["query"], batch["history"], batch["history_mask"])
            given = torch.cat([soft, inputs(ids)], dim=1).detach().requires_grad_(True)
            mask = torch.cat([mask.new_ones(soft.shape[:2]), mask], dim=1)
            with part("LLM forward"):
                loss = model.llm(inputs_embeds=given, attention_mask=mask, labels=labels).loss
        with part("LLM backward"):
            loss.backward()
        with part("plug backward"):
            soft.backward(given.grad[:, : soft.shape[1]].to(soft.dtype))
        with part("optimiser"):
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return {name: {"seconds": statistics.median(spent[name]), "flops": flops[name]} for name in PARTS}


def peak_flops(dtype: torch.dtype, size: int = 2048, repeats: int = 7) -> float:
    """The machine's best rate of multiplications and additions in a matrix product, per second."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def peak_bandwidth(megabytes: int = 256, repeats: int = 7) -> float:
    """The machine's best rate of copying memory, bytes read and written per second."""
    source = torch.empty(megabytes * 2**20, dtype=torch.uint8)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - start)
    return 2 * source.numel() / best
