"""Run records: every number in a notebook or the README comes from one, and tables are made from them, never typed."""

import json
import platform
import re
import subprocess
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pplug.base import has_bfloat16, project_folder, write_text
from pplug.data import TASKS

FOLDER = project_folder() / "results"
NUMBERS = re.compile(r"\[\n([-+\d.eE,\s]*)\n\s*\]")  # a list of them as `json.dumps` indents it
LIBRARIES = ("torch", "transformers", "sentence-transformers", "datasets", "numpy")


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
            "bfloat16": has_bfloat16("cuda" if torch.cuda.is_available() else "cpu"),
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
    """Write one run record as `results/<group>/<name>.json`; a list of numbers takes one line."""
    path = (folder or FOLDER) / group / f"{name}.json"
    text = json.dumps(record, indent=1, default=_plain)
    write_text(path, NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")
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


def by_task(records: list[dict]) -> dict[str, list[dict]]:
    """Group records by task, in the order of the tasks."""
    return {task: found for task in TASKS if (found := [r for r in records if r["task"] == task])}


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *lines])


def plain(record: dict) -> dict:
    """A record with dataclasses and numpy values as they come back from its file."""
    return json.loads(json.dumps(record, default=_plain))


def _plain(value):
    """Dataclasses and numpy values as JSON."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else asdict(value)
