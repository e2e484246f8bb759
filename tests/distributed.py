"""A short training whose losses several processes must agree on; run by itself under `accelerate launch`."""

import json
import sys
from pathlib import Path

import tiny
import torch

from pplug.method import training
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import build


def losses(folder: str, micro_batch: int, sharded: bool = False) -> dict:
    """Train for five steps; tells each step's loss, the processes, and how many of the LLM's numbers are held here."""
    # In bfloat16 a sum depends on its parts in the third digit: more than the mean of means would that is looked for.
    training.has_bfloat16 = lambda device: False
    torch.manual_seed(0)
    model = build(*load_llm(folder, sharded=sharded), tiny.MadeUpEncoder())
    model.checkpointing = sharded
    held = sum((p.to_local() if hasattr(p, "to_local") else p).numel() for p in model.llm.parameters())
    examples = tiny.examples(model, 16)
    for i, example in enumerate(examples):  # targets of different lengths: a mean of means would be another loss
        example.target_ids.extend([5] * (i % 4))
    curve = training.train(model, examples, [], 5, batch_size=8, micro_batch=micro_batch)
    processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    return {"losses": [row["loss"] for row in curve], "processes": processes, "held": held}


if __name__ == "__main__":
    out, *folders = sys.argv[1:]
    told = {folder: [losses(folder, 2, sharded) for sharded in (False, True)] for folder in folders}
    Path(out).write_text(json.dumps(told))
