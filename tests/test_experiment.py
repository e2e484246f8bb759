"""One cell of an experiment: computed once, recorded whole, the same from notebook and command."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pplug.config import get_profile
from pplug.data.tasks import TASKS
from pplug.offline.simulate import simulate
from pplug.study import experiment, grid
from pplug.study.controls import INSTRUCTION, NONE, OTHER, PERSONA, PLUG, ROWS
from pplug.study.experiment import (
    available_tasks,
    evaluate_rows,
    fit,
    run_cell,
    task_data,
    test_examples,
    training_examples,
)

PROFILE = replace(get_profile("smoke"), n_users=8, n_test=6, steps=3, batch_size=4, bootstrap=40)
test_examples.__test__ = False  # a function of the package, not a test


@pytest.fixture(scope="module")
def record():
    return json.loads(json.dumps(evaluate_rows("LaMP-3", PROFILE), default=lambda v: getattr(v, "__dict__", str(v))))


def test_a_record_says_everything_a_number_needs(record):
    known = {"task", "profile", "data_hash", "encoder", "llm", "seed", "commit", "versions", "hardware", "seconds", "n"}
    assert known <= set(record) and record["simulated"] is True and record["n"] == 6
    assert record["versions"]["torch"].startswith("2.13.0") and record["llm"].startswith("standin@")


def test_every_evaluation_has_every_control(record):
    assert tuple(record["metrics"]) == ROWS
    assert {NONE, INSTRUCTION, OTHER, PLUG, PERSONA} <= set(record["metrics"])
    for metrics in record["metrics"].values():
        assert set(metrics) == {"mae", "rmse"}
        assert all(i["low"] <= i["mean"] <= i["high"] for i in metrics.values())


def test_a_plug_is_trained_once_and_then_loaded(monkeypatch):
    first = fit("LaMP-3", PROFILE)
    monkeypatch.setattr(experiment, "train", lambda *_, **__: pytest.fail("trained again"))
    again = fit("LaMP-3", PROFILE)
    assert again.curve == first.curve and again.seconds == first.seconds
    for name, value in first.model.state_dict().items():
        assert np.array_equal(value.numpy(), again.model.state_dict()[name].numpy())
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        fit("LaMP-3", PROFILE, seed=1)


def test_run_cell_writes_what_it_returns(monkeypatch, tmp_path):
    monkeypatch.setattr("pplug.study.records.FOLDER", tmp_path)
    record = run_cell("LaMP-3", PROFILE, 0, "try", with_controls=False)
    assert json.loads((tmp_path / "try" / "LaMP-3-plug-s0.json").read_text()) == record
    assert set(record["scores"]) == {OTHER, PLUG} and len(record["scores"][PLUG]) == 6


def test_own_data_replaces_the_simulated_users(tmp_path):
    simulate(tmp_path / "LaMP_4", "LaMP-4", 4, seed=9)
    own = replace(PROFILE, data=str(tmp_path))
    assert available_tasks(own) == ["LaMP-4"] and available_tasks(PROFILE) == list(TASKS)
    assert task_data("LaMP-4", own).hash != task_data("LaMP-4", PROFILE).hash


def test_where_test_outputs_are_withheld_dev_is_evaluated(tmp_path):
    folder = simulate(tmp_path / "LaMP_4", "LaMP-4", 4, seed=9)
    (folder / "test_outputs.json").unlink()
    own = replace(PROFILE, data=str(tmp_path))
    data = task_data("LaMP-4", own)
    assert [e["id"] for e in test_examples(data, own)] == data.splits["dev"]["id"]


def test_training_never_sees_a_dev_or_test_question():
    data = task_data("LaMP-4", PROFILE)
    asked = {(e["user_id"], e["input"]) for s in ("dev", "test") for e in data.splits[s]}
    assert len(training_examples(data)) > len(data.splits["train"])
    assert not asked & {(e["user_id"], e["input"]) for e in training_examples(data)}


def test_the_grid_has_main_cells_for_every_task_and_seed_and_names_each_record_once():
    cells = list(grid.cells(list(TASKS)))
    names = [(group, experiment.record_name(task, choices, seed)) for group, task, seed, _, choices in cells]
    assert len(names) == len(set(names))
    main = [
        (task, seed) for group, task, seed, controls, choices in cells if group == "main" and controls and not choices
    ]
    assert sorted(main) == sorted((task, seed) for task in TASKS for seed in grid.SEEDS) and len(grid.SEEDS) >= 3
    assert len(grid.ABLATION_TASKS) >= 2


def test_the_grid_skips_cells_that_have_a_record(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(grid, "FOLDER", tmp_path)
    monkeypatch.setattr(grid, "cells", lambda tasks: iter([("main", "LaMP-3", s, True, {}) for s in (0, 1)]))
    monkeypatch.setattr(
        grid, "run_cell", lambda task, profile, seed, *_, **__: ran.append(seed) or {"seconds": {"train": 0}}
    )
    (tmp_path / "main-smoke").mkdir()
    (tmp_path / "main-smoke" / "LaMP-3-plug-s0.json").write_text("{}")
    grid.run_grid(PROFILE, log=lambda line: None)
    assert ran == [1]


def test_data_without_a_train_split_or_without_questions_to_ask_is_refused(tmp_path):
    folder = simulate(tmp_path / "LaMP_7", "LaMP-7", 2, seed=9)
    for name in ("train", "test"):
        (folder / f"{name}_questions.json").unlink()
        (folder / f"{name}_outputs.json").unlink()
    (folder / "dev_questions.json").write_text("[]")
    (folder / "dev_outputs.json").write_text('{"task": "LaMP_7", "golds": []}')
    own = replace(PROFILE, data=str(tmp_path))
    with pytest.raises(ValueError, match="no train_questions"):
        training_examples(task_data("LaMP-7", own))
    with pytest.raises(ValueError, match="no dev or test questions"):
        test_examples(task_data("LaMP-7", own), own)
