"""The README's own tables and its sentence say what the records say, whatever that is."""

import json

import pytest

from pplug.data import Interval
from pplug.study.people_tables import people_records
from tools import front, notebooks
from tools.execution import Run


def test_replies_that_the_lesson_no_longer_shows_are_an_error(tmp_path, monkeypatch):
    (tmp_path / "00_start_here.ipynb").write_text('{"cells": [{"source": ["# title"]}]}')
    monkeypatch.setattr(front, "NOTEBOOKS", tmp_path)
    with pytest.raises(ValueError, match="a table of replies"):
        front.replies()


@pytest.mark.parametrize(
    "low, high, said", [(0.1, 0.3, "better (+0.200)"), (-0.3, -0.1, "worse (-0.200)"), (-0.1, 0.5, "not shown to be")]
)
def test_the_sentence_is_true_whatever_was_measured(low, high, said, monkeypatch):
    monkeypatch.setattr(front.people_tables, "better_by", lambda *_: Interval((low + high) / 2, low, high))
    assert front.measured(people_records()).count(said) == 4


def test_the_lessons_are_those_of_the_timings():
    rows = front.lessons().splitlines()
    assert len(rows) == 2 + len(front.GOALS) + 1 and all(
        f"(notebooks/{name}.ipynb)" in str(rows) for name in front.GOALS
    )


def test_a_run_in_an_environment_that_was_there_keeps_the_time_from_nothing(tmp_path):
    run = Run("00_start_here", "", 10.0, 100.0, 3, "")
    notebooks.record(tmp_path / "timings.json", "default", run, 184.21)
    notebooks.record(tmp_path / "timings.json", "default", run)
    (kept,) = json.loads((tmp_path / "timings.json").read_text())["notebooks"]
    assert kept[notebooks.FROM_NOTHING] == 184.2
