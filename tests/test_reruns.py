"""reruns.py: what counts as the same output of a notebook, what as near, and what is left out."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools.reruns import compare


def notebook(*texts: str):
    outputs = [[new_output("stream", name="stdout", text=text)] for text in texts]
    return new_notebook(cells=[new_code_cell("print()", outputs=output) for output in outputs])


def counted(committed: str, executed: str) -> tuple[int, int, int]:
    found = compare(notebook(committed), notebook(executed))
    return found.same, found.near, len(found.far)


@pytest.mark.parametrize(
    ("committed", "executed", "expected"),
    [
        ("accuracy 0.915", "accuracy 0.915", (1, 0, 0)),
        ("accuracy 0.915", "accuracy 0.871", (0, 1, 0)),
        ("accuracy 0.915", "accuracy 0.715", (0, 0, 1)),
        ("6,000 texts", "6,500 texts", (0, 1, 0)),
        ("6,000 texts", "8,000 texts", (0, 0, 1)),
        ("gain +.05 [-0.01, 0.11]", "gain +.05 [-0.01, 0.31]", (0, 0, 1)),
        ("a\nb 1", "a\nc 1\nd 2", (1, 0, 1)),
        ("no number here", "another text", (0, 0, 0)),
        ("1.5 s, 300 MiB", "9.9 s, 900 MiB", (0, 0, 0)),
        ("3 times 0.2", "1e-3 times 0.2", (0, 0, 1)),
    ],
)
def test_lines(committed, executed, expected):
    assert counted(committed, executed) == expected


def test_a_table_and_a_missing_cell_count():
    table = "| row | score |\n|---|---|\n| plug | 0.9 |"
    shown = new_output("display_data", data={"text/plain": "<Markdown object>", "text/markdown": table})
    old = new_notebook(cells=[new_code_cell("x", outputs=[shown]), *notebook("1").cells])
    assert compare(old, old).same == 2 and compare(old, old).agrees
    changed = nbformat.from_dict({**old, "cells": old.cells[:1]})
    assert len(compare(old, changed).far) == 1


def test_a_few_lines_may_be_far():
    lines = [f"value {number}.0" for number in range(1, 41)]
    for far, agrees in ((2, True), (3, False)):
        executed = [line.replace("value", "value 99") if i < far else line for i, line in enumerate(lines)]
        found = compare(notebook("\n".join(lines)), notebook("\n".join(executed)))
        assert len(found.far) == far and found.agrees == agrees
        assert found.far[0].startswith("code cell 1: value 1.0 | value 99 1.0")
