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
from pplug.study.controls import INSTRUCTION, ITEMS_1, ITEMS_4, NONE, OTHER, PERSONA, PLUG
from pplug.study.paper import TABLE_1_TEST, TABLE_8_VALIDATION
from pplug.study.records import (
    BASELINES,
    by_task,
    commit,
    environment,
    gain_table,
    gains,
    load_records,
    main_table,
    markdown,
    save_record,
    scores,
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


def cells(table: str) -> dict[str, dict[str, str]]:
    """A Markdown table as first cell → head → cell."""
    head, rule, *lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    assert set("".join(rule)) == {"-"} and all(len(line) == len(head) == len(rule) for line in lines)
    return {line[0]: dict(zip(head, line, strict=True)) for line in lines}


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


def test_scores_are_one_row_a_seed():
    records = [record(seed=s, plug=[s, s + 0.5, 1.0]) for s in (0, 1)]
    np.testing.assert_array_equal(scores(records, PLUG), [[0, 0.5, 1], [1, 1.5, 1]])


@pytest.mark.parametrize(
    "other", [record(data_hash="other", plug=[1.0, 0.0], none=[0, 0]), record(plug=[1.0], none=[0])]
)
@pytest.mark.parametrize("table", [gains, main_table, gain_table, lambda records: scores(records, PLUG)])
def test_records_of_different_data_are_refused(table, other):
    with pytest.raises(ValueError, match="different data"):
        table([record(plug=[1.0, 0.0], none=[0, 0]), other])


def test_gains_are_over_the_baselines_that_are_there_positive_is_better():
    found = gains([record("LaMP-3", plug=[0.5, 0.7], none=[1.0, 1.2], persona=[0.1, 0.1])])
    assert set(found) == {NONE}, "the true persona is no baseline, the plug is not compared with itself"
    assert found[NONE].mean == pytest.approx(0.5)
    assert gains([record("LaMP-4", plug=[0.5, 0.7], none=[1.0, 1.2])])[NONE].mean == pytest.approx(-0.5)
    assert gains([record(plug=[0.5], other=[0.25], none=[0.0])], OTHER, (NONE,))[NONE].mean == 0.25


def test_records_are_grouped_in_the_order_of_the_tasks():
    records = [record(task, seed, plug=[0.0]) for task in ("LaMP-7", "LaMP-1", "LaMP-4") for seed in (1, 0)]
    assert {task: [r["seed"] for r in found] for task, found in by_task(records).items()} == {
        "LaMP-1": [1, 0],
        "LaMP-4": [1, 0],
        "LaMP-7": [1, 0],
    }
    assert list(by_task(records)) == ["LaMP-1", "LaMP-4", "LaMP-7"]


# Tables


def test_the_main_table_shows_the_means_over_users_and_seeds():
    table = main_table(
        [
            record("LaMP-4", 0, plug=[0.5, 0.7], none=[0.1, 0.2], persona=[0.8, 0.8]),
            record("LaMP-4", 1, plug=[0.9, 0.6], none=[0.1, 0.2], persona=[0.8, 0.8]),
            record("LaMP-3", plug=[0.5, 0.25, 0.0], none=[1.0, 1.0, 1.0]),
        ]
    )
    found = cells(table)
    theirs = ["*paper: FlanT5-XXL as is*", "*paper: PPlug*"]
    assert list(found) == ["LaMP-3 product rating", "LaMP-4 news headline"]
    assert list(found["LaMP-4 news headline"]) == ["task", "metric", NONE, PLUG, PERSONA, *theirs]
    assert list(found["LaMP-4 news headline"].values())[1:] == [
        "rouge1 ↑",
        "0.150",
        "**0.675**",
        "0.800",
        "*0.176*",
        "*0.211*",
    ]
    assert list(found["LaMP-3 product rating"].values())[1:] == [
        "mae ↓",
        "1.000",
        "**0.250**",
        "–",
        "*0.308*",
        "*0.242*",
    ]


def test_no_number_of_the_main_table_comes_from_anywhere_but_record_and_paper():
    rng = np.random.default_rng(0)
    records = [record(t, s, plug=rng.random(5), none=rng.random(5), other=rng.random(5)) for t in TASKS for s in (0, 1)]
    for task, row in zip(TASKS, cells(main_table(records)).values(), strict=True):
        found = by_task(records)[task]
        ours = [np.mean([np.mean(r["scores"][name]) for r in found]) for name in (NONE, OTHER, PLUG)]
        expected = [f"{value:.3f}" for value in (*ours, *TABLE_1_TEST[task][TASKS[task].metrics[0]])]
        assert re.findall(r"\d\.\d+", " ".join(list(row.values())[2:])) == expected


def test_the_papers_numbers_stand_in_columns_that_say_so():
    for row in cells(main_table([record(task, plug=[0.5]) for task in TASKS])).values():
        for head, cell in row.items():
            assert ("paper" in head) == cell.startswith("*0."), "and in italics, which ours are not"


def test_the_gain_table_shows_gains_with_intervals_seeds_and_users():
    plug, none = [0.5, 0.75, 0.25], [0.25, 0.5, 0.0]
    records = [record("LaMP-4", s, plug=plug, none=none, other=plug, instruction=[0.9, 0.0, 0.2]) for s in (0, 1)]
    records.append(record("LaMP-3", plug=plug, none=none))
    found = cells(gain_table(records))
    assert list(found) == ["LaMP-3", "LaMP-4"]
    assert list(found["LaMP-4"]) == ["task", "metric", *(f"gain over {b}" for b in BASELINES), "seeds × users"]
    assert found["LaMP-4"][f"gain over {NONE}"] == "+0.250 [+0.250, +0.250]"
    assert found["LaMP-3"][f"gain over {NONE}"] == "-0.250 [-0.250, -0.250]", "a higher error is worse"
    assert found["LaMP-4"][f"gain over {OTHER}"] == "+0.000 [+0.000, +0.000] ∅"
    assert found["LaMP-4"][f"gain over {ITEMS_1}"] == found["LaMP-4"][f"gain over {ITEMS_4}"] == "–"
    assert (found["LaMP-4"]["seeds × users"], found["LaMP-3"]["seeds × users"]) == ("2 × 3", "1 × 3")
    interval = gains(records[:2])[INSTRUCTION]
    told = found["LaMP-4"][f"gain over {INSTRUCTION}"]
    assert told == f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}] ∅"
    assert interval.low < 0 < interval.high


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
