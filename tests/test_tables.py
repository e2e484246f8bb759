"""Tables of the comparison, on records made by hand."""

from dataclasses import asdict

import numpy as np
import pytest

from pplug.data.intervals import Interval
from pplug.rivals.costs import Cost
from pplug.study.controls import INSTRUCTION, NONE, PLUG
from pplug.study.tables import (
    by_length,
    cost_table,
    duel_table,
    error_removed,
    full_table,
    gain_lines,
    over,
    score,
    score_table,
    sign,
    subset_table,
    verdict_table,
)


def record(group: str, seed: int = 0, task: str = "LaMP-4", users=None, **rows) -> dict:
    n = len(next(iter(rows.values())))
    found = {"plug": PLUG, "instruction": INSTRUCTION, "none": NONE}
    scores = {found.get(name, name): list(values) for name, values in rows.items()}
    costs = {name: asdict(Cost(per_user=8 * (group == "adapters"))) for name in scores}
    return {
        "task": task, "group": group, "seed": seed, "users": users, "n": n, "scores": scores,
        "history_lengths": list(range(n)), "costs": costs,
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


def test_the_share_of_the_error_removed_is_of_the_same_users():
    half = [record("controls", instruction=np.tile([0.5, 0.0], 5), plug=np.full(10, 0.5)),
            record("adapters", users=[0, 2], lora=[0.75, 0.75])]  # fmt: skip
    shares = error_removed(half)
    assert shares[PLUG]["LaMP-4"] == pytest.approx(0.25 / 0.75) and shares["lora"]["LaMP-4"] == pytest.approx(0.5)
    errors = [record("controls", task="LaMP-3", instruction=np.full(4, 2.0), plug=np.full(4, 0.5))]
    assert error_removed(errors)[PLUG] == {"LaMP-3": 0.75}


def test_the_duels_are_signed_for_the_plug():
    lines = duel_table(RECORDS).splitlines()
    assert "| bm25 | +0.500 ▲ |" in lines and "| lora | +0.750 ▲ |" in lines
    losing = [record("controls", instruction=np.zeros(9), plug=np.zeros(9), none=np.ones(9))]
    assert f"| {NONE} | -1.000 ▼ |" in duel_table(losing).splitlines()


def test_the_full_table_has_intervals_p_and_costs():
    text = full_table(RECORDS)
    lora = next(line for line in text.splitlines() if line.startswith("| lora"))
    assert (
        "0.250 [0.250, 0.250] | +0.250 [+0.250, +0.250] | " in lora
        and "| 1 × 3 | 0 | 8 | 0 | 0.00 | 0 | 1.00 |" in lora
    )
    assert "| lora | 0 | 8 | 0 | 0.00 | 0 | 1.00 |" in cost_table(RECORDS)


def test_a_verdict_counts_wins_draws_and_losses_and_leaves_the_controls_out():
    rows = {"worse": np.zeros(9), "equal": np.tile([1.0, 0.2, 0.6], 3), "better": np.ones(9)}
    found = [record("controls", instruction=np.zeros(9), plug=np.tile([0.2, 1.0, 0.6], 3), none=np.ones(9), **rows)]
    line = verdict_table(found).splitlines()[2]
    cost = "(0.0 kB, × 1.00)"
    assert line == f"| LaMP-4 rouge1 ↑ | better: 1.000 {cost} | 0.600 {cost} | 1 of 3 | 1 | better |"
