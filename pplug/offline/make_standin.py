"""Make a stand-in from beginning to end: its users, its training, its files, and what it can be shown to use."""

import json
import time
from dataclasses import replace
from pathlib import Path

from pplug.base import InputError, write_text
from pplug.data import TASKS, examples_with_output, load
from pplug.offline.curriculum import LEARNT_SEED, Recipe, lamp_writers, simulated_writers
from pplug.offline.standin_check import HELD_OUT_PREFIX, HELD_OUT_SEED, check
from pplug.offline.standin_minilm import MINILM
from pplug.offline.standin_training import save_standin, train_standin


def make_standin(folder: Path, source: Path | int, encoder: str, size: dict, environment: dict) -> dict[str, dict]:
    """Train a stand-in, save it and score it; a run that was stopped goes on.

    Args:
        folder: Where its files go.
        source: A folder of LaMP-format folders to learn from, or how many simulated users of each task.
        encoder: `"minilm"` for the pretrained MiniLM as encoder; empty for a T5 from scratch.
        size: `steps` and `vocabulary`, where they differ from the recipe's; None for the recipe's.
        environment: What the run runs on, for `recipe.json`.

    Returns:
        Task → what `standin_check.check` found, as it is written to `scores.json`.

    Raises:
        InputError: There is no data in the folder.
    """
    start_from = MINILM if encoder == "minilm" else Recipe()
    recipe = replace(start_from, **{name: value for name, value in size.items() if value})
    learn, held_out, about = _data_users(source) if isinstance(source, Path) else _simulated_users(source)
    start, checkpoint = time.perf_counter(), folder / "checkpoint.pt"
    writers = [writer for some in learn.values() for writer in some]
    model, tokenizer = train_standin(writers, recipe, checkpoint, lambda line: print(line, flush=True))
    about |= {"seconds": round(time.perf_counter() - start), **environment}
    save_standin(folder, model, tokenizer, recipe, about)
    scores = {task: check(model, tokenizer, writers) for task, writers in held_out.items()}
    write_text(folder / "scores.json", json.dumps(scores, indent=1) + "\n")
    checkpoint.unlink()
    return scores


def _data_users(folder: Path) -> tuple[dict, dict, dict]:
    """The users to learn from, those to be scored on, and what `recipe.json` says of them."""
    sets = {task: load(path, task) for task in TASKS if (path := folder / task.replace("-", "_")).is_dir()}
    if not sets:
        raise InputError(f"{folder}: expected a folder that holds LaMP_1, LaMP_2, ...: none is here")
    learn = {task: lamp_writers(data) for task, data in sets.items()}
    held_out = {task: lamp_writers(data, "dev") for task, data in sets.items() if examples_with_output(data, "dev")}
    return learn, held_out, {"data": {task: data.hash for task, data in sets.items()}}


def _simulated_users(n: int) -> tuple[dict, dict, dict]:
    learn = {task: simulated_writers(task, n, LEARNT_SEED, "p") for task in TASKS}
    held_out = {task: simulated_writers(task, 200, HELD_OUT_SEED, HELD_OUT_PREFIX) for task in TASKS}
    return learn, held_out, {"simulated_users_a_task": n, "simulated_seed": LEARNT_SEED}
