"""The plug and its rivals on the same users, LLM, decoding and metrics: `python -m pplug compare`.

Rows come in groups (rows.py); a group of a task and a seed is one record under `results/compare-<profile>/`, and
`table.md` there has all of them.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np

import pplug.study.ablations as ablations
import pplug.study.cold_start as cold_start
import pplug.study.rows as rows
from pplug.base import write_text
from pplug.config import Profile, shown_path, training_steps
from pplug.data import BM25_WORD, bootstrap_corpus, example_scores, tokenizer_name
from pplug.study.experiment import available_tasks, llm_label, training_examples
from pplug.study.names import COLD_START
from pplug.study.records import FOLDER, environment, load_records, plain, save_record
from pplug.study.scores import of_groups
from pplug.study.setting import Row, Setting
from pplug.study.tables import ablation_table, full_table, subset_table

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Group:
    """What makes a group's rows, for which seeds, and for which tasks; all if None."""

    make: Callable
    seeds: tuple[int, ...]
    tasks: tuple[str, ...] | None = None


GROUPS = {
    "controls": Group(rows.controls_with_costs, SEEDS),  # the main claim's rows
    "plugs": Group(rows.plugs, SEEDS[:1]),
    "retrieval": Group(rows.retrieval, SEEDS[:1]),
    "distilled": Group(rows.distilled, SEEDS[:2]),
    "summaries": Group(rows.summaries, SEEDS[:1]),
    "adapters": Group(rows.adapters, SEEDS),
    COLD_START: Group(cold_start.scores, SEEDS[:1]),
    "ablations": Group(ablations.choices, SEEDS, ablations.TASKS_COMPARED),
    "selection": Group(ablations.selections, SEEDS, ablations.TASKS_COMPARED),
    "release": Group(ablations.procedures, SEEDS[:1], ablations.TASKS_COMPARED),
    "encoders": Group(ablations.encoders, SEEDS[:1], ablations.TASKS_COMPARED[:1]),
}


def run_group(group: str, task: str, profile: Profile, seed: int) -> dict:
    """Run one group of rows and write its record.

    Returns:
        The record, see `record_of`.
    """
    start, s = time.perf_counter(), Setting(task, profile, seed)
    found = dict(GROUPS[group].make(s))
    record = record_of(s, group, found, time.perf_counter() - start)
    save_record(record, f"compare-{profile.name}", f"{task}-{group}-s{seed}")
    return record


def evaluate_live(task: str, profile: Profile, seed: int = 0) -> dict:
    """Train or load a task's plug and evaluate it beside every control, without costs; nothing is written.

    Returns:
        A record as of the group `controls`, with the rows that retrieve by BM25 among its rows.
    """
    start, s = time.perf_counter(), Setting(task, profile, seed)
    found = {name: Row(texts) for name, texts in rows.controls(s).items()}
    return record_of(s, "controls", found, time.perf_counter() - start)


def record_of(s: Setting, group: str, found: dict, seconds: float) -> dict:
    """A record of a group's rows: what it ran on, and what it found.

    Args:
        s: The task, its users, profile and seed.
        group: One of `GROUPS`.
        found: Row → `Row`, or why it is left out; of the cold start row → number of items → scores.
        seconds: That it took.

    Returns:
        Plain values for JSON: task, profile, data hash, encoder, LLM, seed, commit, versions, hardware; `users`, the
        positions of the test users it is about (None: all), and their `history_lengths`; of each row `metrics` with
        intervals, `scores`, the headline metric of each user, from which gains are tested, `costs` where measured, and
        in `rows` what else is known of it. The cold start's has only scores, by number of items.
    """
    record = {
        "task": s.task,
        "group": group,
        "profile": s.profile.name,
        "simulated": s.data.factors is not None,
        "seed": s.seed,
        "data_hash": s.data.hash,
        "encoder": s.profile.encoder,
        "settings": asdict(s.profile) | {"data": shown_path(s.profile.data)},
        "llm": llm_label(s.profile.llm),
        "steps": steps_of(s),
        "bm25_tokens": f"lower case, {BM25_WORD.pattern}",
        "seconds": round(seconds, 1),
    }
    record |= {"scores": found} if group == COLD_START else _found(s, group, found)
    return plain(record | environment())


def steps_of(s: Setting) -> int:
    """Optimiser steps of a plug's training, as the profile says or as its epochs come to."""
    examples = [] if s.profile.steps else training_examples(s.data, s.profile.items_as_questions)
    return training_steps(s.profile, s.data.task, len(examples))


def _found(s: Setting, group: str, found: dict[str, Row | str]) -> dict:
    task, ways = s.data.task, {name: row for name, row in found.items() if isinstance(row, Row)}
    users = rows.adapted_users(s) if group == "adapters" else None
    examples = [s.examples[i] for i in users] if users is not None else s.examples
    golds = [example["output"] for example in examples]
    headline = task.metrics[0]
    return {
        "n": len(golds),
        "rouge_words": tokenizer_name(task, golds),
        "users": users,
        "history_lengths": [len(example["profile"]) for example in examples],
        "left_out": {name: why for name, why in found.items() if name not in ways},
        "rows": {name: row.about for name, row in ways.items() if row.about},
        "costs": {name: asdict(row.cost) for name, row in ways.items() if row.cost is not None},
        "metrics": {
            name: bootstrap_corpus(task, row.texts, golds, s.profile.bootstrap // 4) for name, row in ways.items()
        },
        "scores": {name: np.round(example_scores(task, row.texts, golds)[headline], 4) for name, row in ways.items()},
    }


def run_groups(profile: Profile, tasks: list[str] | None = None, log: Callable[[str], None] = print) -> None:
    """Run every group that has no record yet, several at a time on a processor: resumable, progress is logged.

    Args:
        profile: How much to train, on which data, LLM and encoder.
        tasks: Only these; all there is data for if None.
        log: Called with a line for each finished group.
    """
    folder, start = FOLDER / f"compare-{profile.name}", time.perf_counter()
    # What others build on comes first: its plugs are then in the cache.
    todo = [
        (group, task, profile, seed)
        for group, its in GROUPS.items()
        for seed in its.seeds
        for task in tasks or available_tasks(profile)
        if (its.tasks is None or task in its.tasks) and not (folder / f"{task}-{group}-s{seed}.json").exists()
    ]
    todo.sort(key=lambda cell: (cell[0], cell[3]) != ("controls", 0))
    workers = _workers()
    with ProcessPoolExecutor(
        workers, get_context("spawn"), _begin, (max(1, (os.cpu_count() or 1) // workers),)
    ) as pool:
        running = {pool.submit(run_group, *cell): cell for cell in todo}
        for done, future in enumerate(as_completed(running), 1):
            group, task, _, seed = running[future]
            seconds = future.result()["seconds"]
            passed = (time.perf_counter() - start) / 60
            log(f"{done}/{len(todo)} after {passed:.1f} min: {task} {group}, seed {seed}, {seconds:.0f} s")
    log(f"the whole table: {write_table(folder)}")


def write_table(folder: Path) -> Path:
    """Write every column of every row, for the tasks that have their controls, beside the records."""
    records = load_records(folder.name, folder.parent)
    ready = {r["task"] for r in records if r["group"] == "controls" and r["seed"] == SEEDS[0]}
    parts = [f"# The plug and its rivals: {folder.name}", full_table([r for r in records if r["task"] in ready])]
    if any(record["group"] == "adapters" for record in records):
        parts += ["## Every row on the users with parameters of their own", subset_table(records) + "\n"]
    for group, base in ablations.BASES.items():
        if of_groups(records, (group,)):
            parts += [f"## The plug's choices: {group}", ablation_table(records, group, base) + "\n"]
    write_text(folder / "table.md", "\n\n".join(parts))
    return folder / "table.md"


def _workers() -> int:
    import torch

    return 1 if torch.cuda.is_available() else min(4, os.cpu_count() or 1)


def _begin(threads: int) -> None:
    """Start a worker: with its share of the threads, and watching its parent."""
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent is gone, even by `kill -9`: it would go on with a cell that a rerun begins."""
    parent_process().join()
    os._exit(1)
