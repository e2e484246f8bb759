"""Run records and the tables made from them: every number in a table is a record's."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pplug.data.intervals import Interval
from pplug.data.tasks import TASKS
from pplug.study import records
from pplug.study.names import INSTRUCTION, NONE, OTHER, PERSONA, PLUG
from pplug.study.paper import TABLE_1_TEST, TABLE_8_VALIDATION
from pplug.study.records import (
    by_task,
    commit,
    environment,
    load_records,
    markdown,
    save_record,
)

ROOT = Path(__file__).parent.parent


def record(task: str = "LaMP-4", seed: int = 0, data_hash: str = "hash", **rows) -> dict:
    """A record with these rows' scores, one number a user."""
    named = {"none": NONE, "plug": PLUG, "other": OTHER, "instruction": INSTRUCTION, "persona": PERSONA}
    found = {named[name]: values for name, values in rows.items()}
    return {
        "task": task,
        "seed": seed,
        "data_hash": data_hash,
        "n": len(next(iter(found.values()))),
        "scores": found,
    }


# Records


def test_records_come_back_as_they_were_saved(tmp_path):
    first = record(plug=[0.1, 0.25], none=[0.0, 1.0]) | {"choices": {}, "gpu": None, "é": "→"}
    assert save_record(first, "main", "LaMP-4-s0", tmp_path) == tmp_path / "main" / "LaMP-4-s0.json"
    save_record(record(seed=1, plug=[0.5]), "main", "LaMP-4-s1", tmp_path)
    save_record(record(plug=[0.7]), "other", "LaMP-4-s0", tmp_path)
    assert load_records("main", tmp_path) == [first, record(seed=1, plug=[0.5])], "by file name, of this group alone"


def test_intervals_and_arrays_are_saved_as_plain_json(tmp_path):
    made = {
        "interval": Interval(0.5, 0.4, 0.6),
        "array": np.array([[1.5, 2.0]]),
        "number": np.float32(0.5),
        "count": np.int64(3),
    }
    (back,) = [json.loads(save_record(made, "g", "n", tmp_path).read_text())]
    assert back == {
        "interval": {"mean": 0.5, "low": 0.4, "high": 0.6, "p": None},
        "array": [[1.5, 2.0]],
        "number": 0.5,
        "count": 3,
    }


def test_a_list_of_numbers_takes_one_line_and_a_text_keeps_its_brackets(tmp_path):
    made = {"numbers": [1, -2.5, 1e-9], "texts": ["[ 1 2 ]", "b"], "rows": [[1, 2], [3]], "none": []}
    path = save_record(made, "g", "n", tmp_path)
    assert '"numbers": [1, -2.5, 1e-09]' in path.read_text() and json.loads(path.read_text()) == made


def test_a_record_that_cannot_be_saved_leaves_the_old_one(tmp_path):
    save_record({"a": 1}, "g", "n", tmp_path)
    with pytest.raises(TypeError):
        save_record({"a": object()}, "g", "n", tmp_path)
    assert load_records("g", tmp_path) == [{"a": 1}] and len(list((tmp_path / "g").iterdir())) == 1


@pytest.mark.parametrize("exists", [True, False])
def test_without_records_the_error_names_the_command(tmp_path, exists):
    if exists:
        (tmp_path / "main-gpu").mkdir()
    with pytest.raises(FileNotFoundError, match=r"results/main-gpu: make them with `make results`"):
        load_records("main-gpu", tmp_path)
    assert re.search(r"^results:", (ROOT / "Makefile").read_text(), re.MULTILINE), "the command exists"


def test_records_are_grouped_in_the_order_of_the_tasks():
    records = [record(task, seed, plug=[0.0]) for task in ("LaMP-7", "LaMP-1", "LaMP-4") for seed in (1, 0)]
    assert {task: [r["seed"] for r in found] for task, found in by_task(records).items()} == {
        "LaMP-1": [1, 0],
        "LaMP-4": [1, 0],
        "LaMP-7": [1, 0],
    }
    assert list(by_task(records)) == ["LaMP-1", "LaMP-4", "LaMP-7"]


def test_a_markdown_table_by_hand():
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


# The paper's numbers


def test_table_1_is_the_papers():
    ad_hoc = {
        "LaMP-1": {"accuracy": 0.502},
        "LaMP-2": {"accuracy": 0.359, "f1": 0.276},
        "LaMP-3": {"mae": 0.308, "rmse": 0.611},
        "LaMP-4": {"rouge1": 0.176, "rougeL": 0.160},
        "LaMP-5": {"rouge1": 0.478, "rougeL": 0.428},
        "LaMP-7": {"rouge1": 0.449, "rougeL": 0.396},
    }
    pplug = {
        "LaMP-1": {"accuracy": 0.700},
        "LaMP-2": {"accuracy": 0.559, "f1": 0.495},
        "LaMP-3": {"mae": 0.242, "rmse": 0.557},
        "LaMP-4": {"rouge1": 0.211, "rougeL": 0.193},
        "LaMP-5": {"rouge1": 0.487, "rougeL": 0.439},
        "LaMP-7": {"rouge1": 0.537, "rougeL": 0.484},
    }
    assert {task: {name: pair[0] for name, pair in found.items()} for task, found in TABLE_1_TEST.items()} == ad_hoc
    assert {task: {name: pair[1] for name, pair in found.items()} for task, found in TABLE_1_TEST.items()} == pplug
    assert all(tuple(TABLE_1_TEST[name]) == task.metrics for name, task in TASKS.items())


def test_table_8_is_the_papers():
    assert {variant: list(found.values()) for variant, found in TABLE_8_VALIDATION.items()} == {
        "PPlug": [0.6800, 0.5652, 0.2312, 0.2162, 0.4869, 0.5338],
        "w/o instruction embedding": [0.6786, 0.5510, 0.2304, 0.2142, 0.4852, 0.5301],
        "w/o input-aware (mean pooling)": [0.6786, 0.5644, 0.2320, 0.2160, 0.4852, 0.5351],
    }
    assert all(list(found) == list(TASKS) for found in TABLE_8_VALIDATION.values())


# Environment


def test_the_environment_names_commit_versions_and_hardware():
    found = environment()
    assert set(found) == {"date", "commit", "versions", "hardware"}
    assert set(found["versions"]) == {"python", "torch", "transformers", "sentence-transformers", "datasets", "numpy"}
    assert all(re.match(r"\d+\.\d+", version) for version in found["versions"].values())
    assert found["hardware"]["cores"] >= 1 and "gpu" in found["hardware"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert not re.search(r"/(home|root|work|tmp)/", json.dumps(found)), "no path of the machine"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_says_whether_the_package_was_changed_since(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "FOLDER", tmp_path / "results")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # set where a hook runs the tests
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    assert commit() == "unknown", "no repository"
    git("init", "-q")
    assert commit() == "unknown", "no commit yet"
    (tmp_path / "pplug").mkdir()
    (tmp_path / "pplug" / "a.py").write_text("1")
    git("add", "."), git("commit", "-q", "-m", "first")
    clean = commit()
    assert re.fullmatch("[0-9a-f]{12}", clean) and git("rev-parse", "HEAD").startswith(clean)
    (tmp_path / "notes.txt").write_text("beside the package")
    assert commit() == clean
    (tmp_path / "pplug" / "a.py").write_text("2")
    assert commit() == clean + "+"
