"""The jobs that tests/test_faults.py kills, and what they must have left on disk in the end, bit for bit.

A job runs in a process forked from one that has imported this file, so that to start one costs nothing.
"""

import gc
import json
import multiprocessing
import os
import random
from dataclasses import replace
from pathlib import Path

import bm25s  # noqa: F401  this and others are imported once, for all jobs
import datasets
import numpy as np
import peft  # noqa: F401
import rouge_score.rouge_scorer  # noqa: F401
import sentence_transformers  # noqa: F401
import sklearn.metrics  # noqa: F401
import tiny
import torch
import transformers.trainer
import work

from pplug.base.files import write_bytes
from pplug.config import get_profile
from pplug.method import encoders, store
from pplug.rivals import costs
from pplug.study import compare, experiment, records, rows, tables
from tools import notebooks, readme

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
TASK = "LaMP-4"
ENCODER = experiment.get_encoder("minilm")
gc.freeze()  # Trainer has garbage collected several times, which would take most of a small training's time
STEPS = 10  # of the training that goes on where it was stopped
COMPARED = {"controls": (0,), "retrieval": (0,), "adapters": (0,)}  # rows, and their seeds
TIMES = {"date", "seconds", "latency", "new_user_seconds"}  # all that may differ between two runs of one job


def texts(seed: int, n: int) -> list[str]:
    """Texts of 1 to 30 words."""
    rng = random.Random(seed)
    return [f"{i} {' '.join(rng.choices(('one', 'two', 'headline', 'the'), k=rng.randint(1, 30)))}" for i in range(n)]


def encoding(folder: Path, llm: Path) -> None:
    """Texts into the store, in small shards that are merged often; the vectors are also written as they came back."""
    encoders.SHARD_ROWS, store.MERGE_AT = 16, 4
    found = [
        encoders.encode(ENCODER, texts(seed, n), folder / "cache", is_query, batch_size=8, progress=False)
        for seed, n, is_query in ((0, 90, False), (1, 60, True), (0, 120, False))
    ]
    write_bytes(folder / "store.bin", np.concatenate(found).tobytes())


def profile(llm: Path):
    """A small run on a small LLM."""
    few = {"n_users": 3, "n_test": 2, "steps": 4, "batch_size": 4, "bootstrap": 40, "items_as_questions": False}
    return replace(get_profile("smoke"), **few, llm=str(llm))


def loading(folder: Path, llm: Path) -> None:
    """Simulated users' files, and their working copies."""
    os.environ["PPLUG_CACHE"] = str(folder / "cache")
    experiment.task_data(TASK, profile(llm))


def plugs(folder: Path, llm: Path) -> None:
    """Two plugs through the cache."""
    os.environ["PPLUG_CACHE"] = str(folder / "cache")
    for seed in (0, 1):
        experiment.fit(TASK, profile(llm), seed)


def training(folder: Path, llm: Path) -> None:
    """Two plugs through the cache, and one by `train` with checkpoints, which goes on where it was stopped."""
    checkpoints(folder, llm)
    plugs(folder, llm)


def checkpoints(folder: Path, llm: Path) -> None:
    """One plug by `train`, in a folder of its own."""
    os.environ["PPLUG_CACHE"] = str(folder / "cache")
    torch.manual_seed(0)
    model = experiment.build(*experiment.get_llm(str(llm)), tiny.MadeUpEncoder())
    examples = tiny.examples(model)
    experiment.train(model, examples, examples[:4], STEPS, 4, folder=folder / "run", resume=True)
    model.save_pretrained(folder / "plug")


def comparing(folder: Path, llm: Path) -> None:
    """Three groups of rows of a small comparison in two workers, as `python -m pplug compare` has them run."""
    os.environ["PPLUG_CACHE"] = str(folder / "cache")
    compare.FOLDER = records.FOLDER = folder / "results"
    compare.get_context = lambda _: multiprocessing.get_context("fork")  # in place of spawn, which imports all anew
    groups = compare.GROUPS
    compare.GROUPS = {name: replace(groups[name], seeds=seeds) for name, seeds in COMPARED.items()}
    rows.RETRIEVERS, rows.ITEMS = ("BM25", "dense"), (1,)
    rows.per_user.METHODS = {"LoRA": 1e-3, "soft prompt": 1e-2}
    rows.ADAPTED_USERS, rows.per_user.EPOCHS, costs.TIMED_USERS = 2, 1, 1
    rows.Setting.options = {"max_new_tokens": 4, "num_beams": 1}
    compare.run_groups(profile(llm), [TASK], log=lambda line: None)


def writing(folder: Path, llm: Path) -> None:
    """Records, a table of them, the notebooks' times and the tables of three pages."""
    for name in ("README.md", "docs/results.md", "docs/speed.md"):
        if not (folder / name).exists():
            (folder / name).parent.mkdir(exist_ok=True)
            write_bytes(folder / name, (readme.ROOT / name).read_bytes().replace(b"0", b"9"))
    readme.TABLES = {name: readme.TABLES[name] for name in ("lessons", "standin", "speed")}  # the others take seconds
    for seed in range(30):
        scores = np.random.default_rng(seed).random(2000)
        records.save_record({"task": TASK, "seed": seed, "scores": {"plug": scores}}, "main", f"s{seed}", folder)
        run = notebooks.Run(f"0{seed % 9}_lesson", "", float(seed), 2.0 * seed, seed, "0" * 64)
        notebooks.record(folder / "timings.json", "smoke", run)
        if seed % 10 == 9:
            readme.update(folder)


def waiting(folder: Path, llm: Path) -> None:
    """A comparison whose cells never end, in workers as they are."""
    compare.FOLDER = folder
    compare.run_group = work.wait
    compare.run_groups(replace(profile(llm), llm=str(folder)), [TASK], log=lambda line: None)


def overlapping(folder: Path, number: int) -> None:
    """A few texts at a time, not the same ones for every number."""
    encoders.SHARD_ROWS, store.MERGE_AT = 8, 3
    mine = texts(0, 120)[30 * number : 30 * number + 60]
    random.Random(number).shuffle(mine)
    for start in range(0, len(mine), 10):
        encoders.encode(ENCODER, mine[start : start + 10], folder / "cache", batch_size=4, progress=False)


JOBS = {job.__name__: job for job in (encoding, loading, training, plugs, checkpoints, comparing, writing, waiting)}
JOBS |= {f"overlapping {n}": lambda folder, llm, n=n: overlapping(folder, n) for n in range(3)}


def run(name: str, folder: Path, llm: Path, before=None, told=None) -> None:
    """Run a job as the first of its own group of processes, by which those it starts can be found.

    Args:
        name: The job.
        folder: Where all that it writes goes.
        llm: The LLM's folder.
        before: Called first, in the job's process, with `folder`; e.g. to take its disk away.
        told: A connection to which the error it ends with is sent; it is raised if None.
    """
    os.setsid()
    random.seed(), torch.seed()  # whatever a job leaves to chance differs between two runs
    try:
        if before:
            before(folder)
        JOBS[name](folder, llm)
    except Exception as error:
        if told is None:
            raise
        told.send(f"{type(error).__name__}: {error}")


def left(folder: Path) -> dict[str, object]:
    """All that a job has left on disk, by name: bytes, or values without `TIMES`.

    The store of vectors counts by what it holds, since its shards depend on how often it was merged; of a training's
    checkpoints, the weights in the last.
    """
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if path.name.startswith("."):
            found[name] = "left over"
        elif "/vectors/" in name:
            kept = found.setdefault(str(Path(name).parent), {})
            for record in store._open_shard.__wrapped__(path, 0, 0)[1]:  # which verifies it
                kept.setdefault(bytes(record["key"]), set()).add(record["vector"].tobytes())
        elif "/data/" in name:
            found[name] = "whole" if path.suffix != ".arrow" else _rows(path)
        elif path.parent.name.startswith("checkpoint"):
            if path.name == "model.safetensors" and path.parent.name == f"checkpoint-{STEPS}":
                found[name] = path.read_bytes()
        elif path.suffix == ".json":
            found[name] = without_times(json.loads(path.read_text()))
        elif path.name == "table.md":
            found[name] = _without_time_columns(path.read_text())
        else:
            found[name] = path.read_bytes()
    return found


def without_times(value):
    """A JSON value without the fields in `TIMES`."""
    if isinstance(value, dict):
        return {key: without_times(of) for key, of in value.items() if key not in TIMES}
    return [without_times(of) for of in value] if isinstance(value, list) else value


def _rows(path: Path) -> list[dict]:
    return datasets.Dataset.from_file(str(path)).to_list()


def _without_time_columns(text: str) -> list[list[str]]:
    times = [head for head, (field, _) in tables.COST_COLUMNS.items() if field in TIMES]
    lines, cut = [], []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if any(head in cells for head in times):
            cut = [cells.index(head) for head in times]
        lines.append([cell for at, cell in enumerate(cells) if at not in cut or len(cells) < 3])
    return lines
