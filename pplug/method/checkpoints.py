"""The folder of a training: its settings, its checkpoints, where to go on, and its loss curve."""

import csv
import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from pplug.base import InputError, replacing, shown, write_text

TOGETHER = "together.pt"  # of several plugs' training
SETTINGS, STATE = "training.json", "trainer_state.json"  # ours; transformers', the last file of a checkpoint


def begin(folder: Path, settings: dict, resume: bool) -> Path | None:
    """Make a folder ready for a training.

    Args:
        folder: Where this training alone writes.
        settings: What decides its result, as JSON holds it.
        resume: Whether to go on with the training that the folder holds, if it does; otherwise its checkpoints go.

    Returns:
        The checkpoint to go on from; None to begin at the beginning.

    Raises:
        InputError: The folder holds a training with other settings.
    """
    last = last_checkpoint(folder) if resume else None
    if last is None:
        for path in folder.glob("checkpoint-*"):  # they would be taken for this training's
            shutil.rmtree(path, ignore_errors=True)
        write_text(folder / SETTINGS, json.dumps(settings, indent=1))
        return None
    known = json.loads((folder / SETTINGS).read_text()) if (folder / SETTINGS).exists() else settings
    for name, value in settings.items():
        if known.get(name) != value:
            found = f"{name} is {shown(repr(value))} here, and {shown(repr(known.get(name)))} there"
            raise InputError(
                f"{folder}: expected the training to go on with the settings it was begun with, but {found}: give "
                "another folder, or resume=False to begin anew"
            )
    _relocate_best(last)
    return last


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint, if there is one; what a killed run left half-written is removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        try:
            json.loads((path / STATE).read_text())
            whole.append(path)
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)  # each of several processes tries
    return max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)


def stopped_at(checkpoint: Path | None, patience: int) -> int | None:
    """The step at which early stopping had ended the training already when this checkpoint was written, if it had."""
    if checkpoint is None or not patience:
        return None
    state = json.loads((checkpoint / STATE).read_text())
    stopping = state["stateful_callbacks"].get("EarlyStoppingCallback", {}).get("attributes", {})
    return state["global_step"] if stopping.get("early_stopping_patience_counter", 0) >= patience else None


def save_or_tell(save: Callable, folder: Path, *given) -> None:
    """Save a checkpoint; where that fails, say so: torch and safetensors name neither the file nor what is wrong."""
    try:
        save(*given)
    except Exception as error:
        wanted = "expected a folder with room that may be written to; the last whole checkpoint is kept for resume=True"
        raise OSError(errno.EIO, f"{folder}: a checkpoint could not be written ({error}); {wanted}") from error


def write_curve(path: Path, curve: list[dict]) -> None:
    """Write a loss curve as CSV with the columns step, loss, eval_loss."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["step", "loss", "eval_loss"])
        writer.writeheader()
        writer.writerows(curve)


def write_state(folder: Path | None, parts: list[list], curves: list) -> None:
    """Keep where several plugs' training is (together.py): what has a `state_dict`, random numbers, losses so far."""
    if folder is None:
        return
    import torch

    states = [[part.state_dict() for part in some] for some in parts]
    numbers = [torch.get_rng_state(), torch.cuda.get_rng_state_all()]
    with replacing(folder / TOGETHER) as temporary:
        torch.save({"states": states, "numbers": numbers, "curves": curves}, temporary)


def read_state(folder: Path | None, parts: list[list]) -> list:
    """Set everything to where `write_state` left it; the losses so far, none where nothing was kept."""
    if folder is None or not (folder / TOGETHER).exists():
        return []
    import torch

    known = torch.load(folder / TOGETHER, map_location="cpu", weights_only=True)
    for some, states in zip(parts, known["states"], strict=True):
        for part, state in zip(some, states, strict=True):
            part.load_state_dict(state)
    torch.set_rng_state(known["numbers"][0]), torch.cuda.set_rng_state_all(known["numbers"][1])
    return known["curves"]


def _relocate_best(checkpoint: Path) -> None:
    """Let a checkpoint know the best one where it is now: it keeps whole paths, and the folder may have been moved."""
    state = json.loads((checkpoint / STATE).read_text())
    best = checkpoint.with_name(f"checkpoint-{state.get('best_global_step')}")
    if state.get("best_model_checkpoint") not in (None, str(best)) and best.is_dir():
        write_text(checkpoint / STATE, json.dumps(state | {"best_model_checkpoint": str(best)}, indent=2))
