"""Tables of the comparison, on records made by hand."""

import numpy as np
import pytest

from pplug.comparison import by_length, gain_lines, over, score, score_table, sign, subset_table
from pplug.evaluate import INSTRUCTION, NONE, PLUG, Interval


def record(group: str, seed: int = 0, task: str = "LaMP-4", users=None, **rows) -> dict:
    n = len(next(iter(rows.values())))
    found = {"plug": PLUG, "instruction": INSTRUCTION, "none": NONE}
    scores = {found.get(name, name): list(values) for name, values in rows.items()}
    return {
        "task": task, "group": group, "seed": seed, "users": users, "n": n, "scores": scores,
        "history_lengths": list(range(n)), "costs": {name: {} for name in scores},
    }  # fmt: skip


USERS = 30
RECORDS = [
    record("controls", 0, instruction=np.zeros(USERS), plug=np.ones(USERS), none=np.zeros(USERS)),
    record("controls", 1, instruction=np.zeros(USERS), plug=np.full(USERS, 0.5), none=np.zeros(USERS)),
    record("retrieval", 0, bm25=np.tile([1.0, 0.0], USERS // 2)),
    record("adapters", 0, users=[1, 3, 5], lora=[0.25, 0.25, 0.25]),
    {"task": "LaMP-4", "group": "cold_start", "seed": 0, "scores": {PLUG: {"0": [0.0]}}},
]


def test_a_rows_mean_is_over_seeds_and_users_or_the_users_asked_for():
    assert score(RECORDS, PLUG).mean == 0.75
    assert score(RECORDS, "bm25").mean == 0.5 and score(RECORDS, "bm25", [1, 3, 5]).mean == 0.0
    with pytest.raises(ValueError, match="lora: this row has other users"):
        score(RECORDS, "lora", [0])


def test_rows_are_paired_by_the_seeds_and_users_that_both_have():
    assert over(RECORDS, PLUG).mean == 0.75 and over(RECORDS, "bm25", PLUG).mean == -0.5  # seed 0 alone
    assert over(RECORDS, "lora").mean == 0.25 and over(RECORDS, "lora", "bm25").mean == 0.25  # users 1, 3, 5
    assert over(RECORDS, "bm25", "lora").mean == -0.25


def test_lower_errors_are_gains():
    errors = [record("controls", task="LaMP-3", instruction=np.ones(9), plug=np.zeros(9))]
    assert over(errors, PLUG).mean == 1.0


def test_signs_need_an_interval_on_one_side():
    assert [sign(Interval(0, *ends)) for ends in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (0.0, 0.1))] == [
        "▲",
        "▼",
        "",
        "",
    ]


def test_the_score_table_has_the_papers_numbers_in_columns_of_their_own():
    table = score_table(RECORDS)
    lines = {line.split(" | ")[0].strip("| "): line for line in table.splitlines()}
    assert lines[PLUG].count("**0.750 ▲**") == 1 and "*0.211*" in lines[PLUG] and "*0.176*" in lines[NONE]
    assert "0.500 ▲" in lines["bm25"] and "*" not in lines["bm25"]


def test_the_subset_table_shows_every_row_on_the_subset():
    lines = subset_table(RECORDS).splitlines()
    assert any("bm25 | 0.000" in line for line in lines) and any("lora | 0.250" in line for line in lines)


def test_three_equal_groups_by_history_length():
    groups = by_length(RECORDS, "bm25")
    assert [length for length, _ in groups] == [4.5, 14.5, 24.5] and all(i.mean == 0.5 for _, i in groups)


def test_every_gain_has_a_p_value():
    lines = list(gain_lines(RECORDS))
    assert {row for _, row, _ in lines} == {PLUG, NONE, "bm25", "lora"} and all(0 < i.p <= 1 for *_, i in lines)
