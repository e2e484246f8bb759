"""Run records: every number in a notebook or the README comes from one, and tables are made from them, never typed."""

import json
import platform
import subprocess
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pplug.base.files import PACKAGE, write_text
from pplug.data.intervals import gain
from pplug.data.tasks import LOWER_IS_BETTER, TASKS, get_task
from pplug.study.controls import INSTRUCTION, ITEMS_1, ITEMS_4, NONE, OTHER, PLUG, ROWS
from pplug.study.paper import TABLE_1_TEST

FOLDER = PACKAGE.parent / "results"
LIBRARIES = ("torch", "transformers", "sentence-transformers", "datasets", "numpy")
BASELINES = (NONE, ITEMS_1, ITEMS_4, INSTRUCTION, OTHER)


def environment() -> dict:
    """What a run ran on: commit, library versions, hardware."""
    import os

    import torch

    return {
        "date": str(date.today()),
        "commit": commit(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "hardware": {
            "cpu": platform.machine(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def commit() -> str:
    """The repository's commit, `+` appended if the package was changed since; `unknown` outside a repository."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=FOLDER.parent, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    head = git("rev-parse", "--short=12", "HEAD")
    return f"{head}{'+' if git('status', '--porcelain', '--', 'pplug') else ''}" if head else "unknown"


def save_record(record: dict, group: str, name: str, folder: Path | None = None) -> Path:
    """Write one run record as `results/<group>/<name>.json`."""
    path = (folder or FOLDER) / group / f"{name}.json"
    write_text(path, json.dumps(record, indent=1, default=_plain) + "\n")
    return path


def load_records(group: str, folder: Path | None = None) -> list[dict]:
    """Read all records of a group, sorted by file name.

    Raises:
        FileNotFoundError: If there are none; the message tells which command makes them.
    """
    paths = sorted(((folder or FOLDER) / group).glob("*.json"))
    if not paths:
        raise FileNotFoundError(f"no records under results/{group}: make them with `make results`")
    return [json.loads(path.read_text()) for path in paths]


def scores(records: list[dict], row: str) -> np.ndarray:
    """`[seeds, users]`: the headline metric of one row, one record a seed; the records must be of the same users.

    Raises:
        ValueError: If the records are of different data.
    """
    if len({(record["data_hash"], record["n"]) for record in records}) != 1:
        raise ValueError("these records are of different data: their users cannot be paired")
    return np.array([record["scores"][row] for record in records])


def gains(records: list[dict], row: str = PLUG, baselines: tuple[str, ...] = BASELINES) -> dict:
    """What a row gains over each baseline, over all seeds: baseline → `Interval`, positive is better."""
    metric = get_task(records[0]["task"]).metrics[0]
    mine = scores(records, row)
    return {b: gain(metric, mine, scores(records, b)) for b in baselines if b in records[0]["scores"]}


def by_task(records: list[dict]) -> dict[str, list[dict]]:
    """Group records by task, in the order of the tasks."""
    return {task: found for task in TASKS if (found := [r for r in records if r["task"] == task])}


def main_table(records: list[dict]) -> str:
    """The table of all tasks as Markdown: every row's mean over seeds, and the paper's numbers in columns of their own.

    The paper's are measured on other data with an LLM a thousand times larger; they stand there for orientation only.
    """
    rows = [row for row in ROWS if any(row in record["scores"] for record in records)]
    head = ["task", "metric", *rows, "*paper: FlanT5-XXL as is*", "*paper: PPlug*"]
    lines = []
    for task, found in by_task(records).items():
        metric = TASKS[task].metrics[0]
        means = {row: float(np.mean(scores(found, row))) for row in rows if row in found[0]["scores"]}
        cells = [
            f"**{means[row]:.3f}**" if row == PLUG else f"{means[row]:.3f}" if row in means else "–" for row in rows
        ]
        theirs = [f"*{value:.3f}*" for value in TABLE_1_TEST[task][metric]]
        lines.append(
            [f"{task} {TASKS[task].title}", f"{metric} {'↓' if metric in LOWER_IS_BETTER else '↑'}", *cells, *theirs]
        )
    return markdown(head, lines)


def gain_table(records: list[dict]) -> str:
    """What the plug gains over each baseline, with 95 % intervals over users and seeds, as Markdown."""
    head = ["task", "metric", *(f"gain over {b}" for b in BASELINES), "seeds × users"]
    lines = []
    for task, found in by_task(records).items():
        cells = []
        compared = gains(found)
        for b in BASELINES:
            i = compared.get(b)
            cells.append(
                "–" if i is None else f"{i.mean:+.3f} [{i.low:+.3f}, {i.high:+.3f}]{'' if i.excludes_zero else ' ∅'}"
            )
        lines.append([task, TASKS[task].metrics[0], *cells, f"{len(found)} × {found[0]['n']}"])
    return markdown(head, lines)


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *lines])


def _plain(value):
    """Dataclasses and numpy values as JSON."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else asdict(value)
