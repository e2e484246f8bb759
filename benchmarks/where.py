"""Where the time of a training step goes, part by part, and the least each part could take on this machine."""

import statistics
import time
from collections import defaultdict
from contextlib import nullcontext

import torch
from torch.utils.flop_counter import FlopCounterMode

from pplug.batches import Example, Visits, collate
from pplug.hardware import has_bfloat16
from pplug.model import PersonalizedLM

PARTS = ("data", "query encoder", "projector", "LLM forward", "LLM backward", "plug backward", "optimiser")


def parts_of_a_step(model: PersonalizedLM, examples: list[Example], batch_size: int, steps: int = 8) -> dict[str, dict]:
    """Take training steps apart.

    Args:
        model: With the plug to train; its weights change.
        examples: Training examples.
        batch_size: Examples a step.
        steps: How many steps to take; the first one warms up and does not count.

    Returns:
        Part → `seconds`, the median over steps, and `flops`, the mean of the multiplications and additions in matrix
        products (0 where there are none).
    """
    seconds, flops = defaultdict(list), defaultdict(list)
    parameters = [p for p in model.plug.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-4, fused=True)
    visits = Visits(examples, steps * batch_size, 0)
    plug, inputs = model.plug.train(), model.llm.get_input_embeddings()

    def timed(part, work):
        with FlopCounterMode(display=False) as counted:  # costs some microseconds an operation, to all parts alike
            start = time.perf_counter()
            result = work()
            seconds[part].append(time.perf_counter() - start)
        flops[part].append(counted.get_total_flops())
        return result

    for step in range(steps):
        rows = range(step * batch_size, (step + 1) * batch_size)
        batch = timed("data", lambda rows=rows: collate(model, [visits[i] for i in rows]))
        with torch.autocast("cpu", torch.bfloat16) if has_bfloat16("cpu") else nullcontext():
            weights = timed("query encoder", lambda b=batch: plug.weights(b["query"], b["history"], b["history_mask"]))
            del weights
            soft = timed("projector", lambda b=batch: plug(b["query"], b["history"], b["history_mask"]))
            given = torch.cat([soft, inputs(batch["input_ids"])], dim=1).detach().requires_grad_(True)
            mask = torch.cat([batch["attention_mask"].new_ones(soft.shape[:2]), batch["attention_mask"]], dim=1)
            loss = timed(
                "LLM forward",
                lambda g=given, m=mask, b=batch: model.llm(inputs_embeds=g, attention_mask=m, labels=b["labels"]).loss,
            )
        timed("LLM backward", lambda loss=loss: loss.backward())
        timed("plug backward", lambda s=soft, g=given: s.backward(g.grad[:, : s.shape[1]].to(s.dtype)))

        def update():
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()

        timed("optimiser", update)
    found = {p: {"seconds": statistics.median(seconds[p][1:]), "flops": statistics.mean(flops[p][1:])} for p in PARTS}
    # `plug(...)` weighs the items again: what is left is the projector and the pooling.
    found["projector"]["seconds"] -= found["query encoder"]["seconds"]
    found["projector"]["flops"] -= found["query encoder"]["flops"]
    return found


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
