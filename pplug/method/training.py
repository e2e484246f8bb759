"""Training the plug: transformers' Trainer around the batches of batches.py."""

import functools
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from pplug.base import InputError, cache_folder, has_bfloat16, scratch
from pplug.method.batches import Example, Visits, collate, examples_hash, histories
from pplug.method.checkpoints import begin, save_or_tell, stopped_at, write_curve
from pplug.method.examples import prepare_raw
from pplug.method.finite import check_finite_weights, stop_where_not_finite
from pplug.method.model import PromptedLM

ENCODER_RATE = 1e-4  # the paper's; at the rate a small LLM's projector needs, a pretrained encoder is ruined
WEIGHT_DECAY = 1e-4
AT_ONCE = 256  # histories, where no LLM reads them


def train(
    model: PromptedLM,
    examples: Sequence[dict] | Sequence[Example],
    dev: Sequence[dict] | Sequence[Example] = (),
    steps: int = 200,
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
        examples: Training examples: `{"input", "output", "history"}`, see `examples.prepare_raw`, or prepared ones.
        dev: Examples for the dev loss, of either form; may be empty.
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

    Raises:
        InputError: There are no examples, or one lacks an output; the folder holds a training with other settings; or
            a loss, a gradient or a weight is not finite any more. That step is told, and nothing of it is kept.
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
    examples, dev = _ready(model, examples, "training example"), _ready(model, dev, "dev example")
    if not examples:
        raise InputError("there are no training examples")
    learn_crowd(model, examples)
    settings = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
    settings |= {"patience": patience, "examples": examples_hash(examples), "dev": examples_hash(dev)}
    settings |= {"plug": asdict(model.plug.config)}
    with scratch(cache_folder() / "training") as temporary:
        out = Path(folder) if folder else temporary
        checkpoint = begin(out, settings, resume) if folder else None
        every, log_every = max(1, steps // 10), max(1, steps // 50)
        warmup = int(0.05 * steps)
        steps = stopped_at(checkpoint, patience) or steps  # then there is nothing left to do
        arguments = TrainingArguments(
            output_dir=str(out),
            max_steps=steps,
            per_device_train_batch_size=at_once,
            per_device_eval_batch_size=at_once,
            gradient_accumulation_steps=batch_size // parallel,
            learning_rate=learning_rate,
            weight_decay=WEIGHT_DECAY,
            warmup_steps=warmup,
            lr_scheduler_type="linear",
            bf16=has_bfloat16(model.llm.device.type),
            use_cpu=model.llm.device.type == "cpu",
            train_sampling_strategy="sequential",
            logging_steps=log_every,
            logging_nan_inf_filter=False,  # it would report the losses before in place of one that is not finite
            eval_strategy="steps" if dev else "no",
            eval_steps=every,
            save_strategy="steps" if folder or patience else "no",
            save_steps=every,
            save_total_limit=2,
            load_best_model_at_end=bool(patience and dev),
            restore_callback_states_from_checkpoint=True,  # how long early stopping has been waiting
            metric_for_best_model="eval_loss",
            prediction_loss_only=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            label_names=["labels"],
            report_to="none",
            disable_tqdm=True,
            seed=seed,
        )
        alone = {"only_targets": True, "front_once": True}  # the plug's: nothing in the LLM is trained
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=Visits(examples, steps * batch_size, seed),
            eval_dataset=dev or None,
            data_collator=lambda batch: collate(model, batch) | alone,  # in asking dev too
            callbacks=[EarlyStoppingCallback(patience)] if patience and dev else [],
            optimizers=(_two_rates(model, learning_rate), None),
        )
        names = [name for name, _ in (*model.named_parameters(), *model.named_buffers()) if name.startswith("llm.")]
        model._ddp_params_and_buffers_to_ignore = names  # frozen alike in every process: nothing of it to send around
        for noisy in (PrinterCallback, ProgressCallback):  # the curve is returned and plotted, not printed
            trainer.remove_callback(noisy)
        trainer._save_checkpoint = functools.partial(save_or_tell, trainer._save_checkpoint, out)
        stop_where_not_finite(trainer, model.plug, learning_rate)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        check_finite_weights(model.plug, trainer.state.global_step, learning_rate)
        model.eval()
        learn_unknown(model, examples)
        curve = [
            {"step": row["step"]} | {key: row[key] for key in ("loss", "eval_loss") if key in row}
            for row in trainer.state.log_history
            if "loss" in row or "eval_loss" in row
        ]
        if folder and trainer.is_world_process_zero():
            write_curve(out / "loss.csv", curve)
    return curve


def learn_crowd(model: PromptedLM, examples: Sequence[Example]) -> None:
    """Tell a plug of the crowd's form (crowd.py) who the crowd is: those it is trained on. Others need nothing."""
    if model.plug.config.crowd and model.plug.config.user:
        model.plug.projector.learn_crowd([example.history for example in examples])


@torch.no_grad()
def learn_unknown(model: PromptedLM, examples: Sequence[Example]) -> None:
    """Let an empty history stand for the mean of those a plug of the crowd's form was trained on. Others need nothing.

    Most of what a user moves the crowd's tokens by is common to all users; training hardly ever sees an empty history.
    """
    plug = model.plug
    if not (plug.config.crowd and plug.config.user):
        return
    known = [example for example in examples if len(example.history)]
    total = torch.zeros_like(plug.no_history)
    for start in range(0, len(known), AT_ONCE):
        given = histories(model, known[start : start + AT_ONCE])
        total += plug.user_embedding(given["query"], given["history"], given["history_mask"]).sum(dim=0)
    plug.no_history.copy_(total / len(known))


def _ready(model: PromptedLM, examples: Sequence, name: str) -> list[Example]:
    """Prepare examples that are not yet prepared, and check that each has an output."""
    ready = list(examples)
    if not all(isinstance(example, Example) for example in ready):
        ready = prepare_raw(model, ready)
    for number, example in enumerate(ready):
        if not example.target_ids:
            raise InputError(f"{name} {number}: expected an output, since a plug learns from what the answers are")
    return ready


def _two_rates(model: PromptedLM, learning_rate: float) -> torch.optim.AdamW | None:
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
