"""Training the plug: transformers' Trainer around the batches of batches.py."""

import csv
import errno
import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from pplug.base.files import cache_folder, replacing, scratch
from pplug.base.hardware import has_bfloat16
from pplug.method.batches import Example, Visits, collate
from pplug.method.model import PersonalizedLM

ENCODER_RATE = 1e-4  # the paper's; at the rate a small LLM's projector needs, a pretrained encoder is ruined
WEIGHT_DECAY = 1e-4


def train(
    model: PersonalizedLM,
    examples: list[Example],
    dev: list[Example],
    steps: int,
    batch_size: int = 32,
    learning_rate: float = 1e-2,
    seed: int = 0,
    patience: int = 0,
    micro_batch: int | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
) -> list[dict]:
    """Train the plug; the LLM stays frozen.

    AdamW, weight decay 1e-4, warm-up over 5 % of the steps, linear decay: the paper's. Computes in bfloat16 where the
    hardware has it; the plug's own weights stay in float32. A fully trained input encoder learns at `ENCODER_RATE`, or
    at `learning_rate` where that is lower.

    Args:
        model: Its plug is changed in place. With `patience`, it ends with the weights of the best dev loss.
        examples: Training examples.
        dev: Examples for the dev loss; may be empty.
        steps: Optimiser steps.
        batch_size: Examples a step.
        learning_rate: Peak rate. The paper's is 1e-4, for an 11B LLM; a small LLM needs about 1e-2.
        seed: Of the order of examples and of subsampling. (The plug's initial weights are the caller's.)
        patience: Stop after this many evaluations (ten a run) without a better dev loss; 0 never stops.
        micro_batch: Examples in memory at once, on each device; a step adds up their gradients. All if None.
        folder: Where this run alone writes checkpoints of the plug and `loss.csv`; a temporary folder if None.
        resume: Continue from the last whole checkpoint in `folder`, exactly; from the beginning if there is none.

    Returns:
        The loss curve: `{"step", "loss"}` and `{"step", "eval_loss"}` rows.
    """
    from transformers import EarlyStoppingCallback, Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    processes = int(os.environ.get("WORLD_SIZE", 1))  # set by `accelerate launch`
    at_once = min(micro_batch or batch_size, max(1, batch_size // processes))
    parallel = at_once * processes
    if batch_size % parallel:
        raise ValueError(
            f"a batch of {batch_size} cannot be made of {at_once} examples at a time in {processes} process(es)"
        )
    with scratch(cache_folder() / "training") as temporary:
        out = Path(folder) if folder else temporary
        every = max(1, steps // 10)
        arguments = TrainingArguments(
            output_dir=str(out),
            max_steps=steps,
            per_device_train_batch_size=at_once,
            per_device_eval_batch_size=at_once,
            gradient_accumulation_steps=batch_size // parallel,
            learning_rate=learning_rate,
            weight_decay=WEIGHT_DECAY,
            warmup_steps=int(0.05 * steps),
            lr_scheduler_type="linear",
            bf16=has_bfloat16(model.llm.device.type),
            use_cpu=model.llm.device.type == "cpu",
            train_sampling_strategy="sequential",
            logging_steps=max(1, steps // 50),
            eval_strategy="steps" if dev else "no",
            eval_steps=every,
            save_strategy="steps" if folder or patience else "no",
            save_steps=every,
            save_total_limit=2,
            load_best_model_at_end=bool(patience and dev),
            metric_for_best_model="eval_loss",
            prediction_loss_only=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            label_names=["labels"],
            report_to="none",
            disable_tqdm=True,
            seed=seed,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=Visits(examples, steps * batch_size, seed),
            eval_dataset=dev or None,
            data_collator=lambda batch: collate(model, batch),
            callbacks=[EarlyStoppingCallback(patience)] if patience and dev else [],
            optimizers=(_two_rates(model, learning_rate), None),
        )
        names = [name for name, _ in (*model.named_parameters(), *model.named_buffers()) if name.startswith("llm.")]
        model._ddp_params_and_buffers_to_ignore = names  # frozen alike in every process: nothing of it to send around
        for noisy in (PrinterCallback, ProgressCallback):  # the curve is returned and plotted, not printed
            trainer.remove_callback(noisy)
        trainer._save_checkpoint = functools.partial(_save_checkpoint, trainer._save_checkpoint, out)
        trainer.train(resume_from_checkpoint=_last_checkpoint(out) if resume else None)
        model.eval()
        curve = [
            {"step": row["step"]} | {key: row[key] for key in ("loss", "eval_loss") if key in row}
            for row in trainer.state.log_history
            if "loss" in row or "eval_loss" in row
        ]
        if folder:
            write_curve(out / "loss.csv", curve)
    return curve


def _save_checkpoint(save: Callable, folder: Path, *given) -> None:
    """Save a checkpoint; where that fails, say so: torch and safetensors name neither the file nor what is wrong."""
    try:
        save(*given)
    except Exception as error:
        wanted = "expected a folder with room that may be written to; the last whole checkpoint is kept for resume=True"
        raise OSError(errno.EIO, f"{folder}: a checkpoint could not be written ({error}); {wanted}") from error


def _last_checkpoint(folder: Path) -> str | None:
    """The last whole checkpoint, if there is one; what a killed run left half-written is removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        try:
            json.loads((path / "trainer_state.json").read_text())  # the file written last
            whole.append(path)
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)  # each of several processes tries
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def _two_rates(model: PersonalizedLM, learning_rate: float) -> torch.optim.AdamW | None:
    """An optimiser for a plug with a fully trained input encoder; None, which is Trainer's own, for any other."""
    backbone = getattr(model.plug.input_encoder, "backbone", None)
    if backbone is None:
        return None
    pretrained = {id(parameter) for parameter in backbone.parameters()}
    new = [parameter for parameter in model.plug.parameters() if id(parameter) not in pretrained]
    groups = [
        {"params": new, "lr": learning_rate},
        {"params": list(backbone.parameters()), "lr": min(learning_rate, ENCODER_RATE)},
    ]
    return torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)


def write_curve(path: Path, curve: list[dict]) -> None:
    """Write a loss curve as CSV with the columns step, loss, eval_loss."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["step", "loss", "eval_loss"])
        writer.writeheader()
        writer.writerows(curve)
