"""Tables of the comparison, on records made by hand."""

from dataclasses import asdict

import numpy as np
import pytest

from pplug.data.intervals import Interval
from pplug.data.tasks import TASKS
from pplug.rivals.costs import Cost
from pplug.study.names import BASELINES, BM25_1, BM25_4, INSTRUCTION, NONE, OTHER, PERSONA, PLUG, STANDARD
from pplug.study.paper import RIVALS_TEST
from pplug.study.scores import by_length, error_removed, gain_lines, gains, over, row_names, score, seeds_by_users
from pplug.study.tables import (
    ablation_table,
    again_table,
    cost_table,
    duel_table,
    folded,
    full_table,
    gain_table,
    main_table,
    one_line,
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
        "task": task, "group": group, "seed": seed, "users": users, "data_hash": "hash", "n": n, "scores": scores,
        "history_lengths": list(range(n)), "costs": costs,
    }  # fmt: skip


USERS = 30
RECORDS = [
    record("controls", 0, instruction=np.zeros(USERS), plug=np.ones(USERS), none=np.zeros(USERS)),
    record("controls", 1, instruction=np.zeros(USERS), plug=np.full(USERS, 0.5), none=np.zeros(USERS)),
    record("retrieval", 0, bm25=np.tile([1.0, 0.0], USERS // 2)),
    record("adapters", 0, users=[1, 3, 5], lora=[0.25, 0.25, 0.25]),
    {"task": "LaMP-4", "group": "cold_start", "seed": 0, "data_hash": "hash", "scores": {PLUG: {"0": [0.0]}}},
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


def test_a_cell_run_again_is_held_against_its_record():
    again = [record("controls", 1, instruction=np.zeros(USERS), plug=np.tile([0.5, 0.75], USERS // 2))]
    lines = again_table(RECORDS, again).splitlines()
    assert lines[2] == f"| {INSTRUCTION} | 1 | 0 of 30 | – | – |", "rows without a difference share the first line"
    assert f"| {PLUG} | 1 | 15 of 30 | +0.1250 (+0.1250 … +0.1250) | 1 |" in lines
    errors = [record("controls", task="LaMP-3", plug=np.full(9, value)) for value in (1.0, 0.0)]
    assert "| 9 of 9 | +1.0000" in again_table(errors[:1], errors[1:]), "a smaller error is better"
    with pytest.raises(ValueError, match="not enough values"):
        again_table(RECORDS, [again[0] | {"data_hash": "another"}])


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


# The main table and its gains


def cells(table: str) -> dict[str, dict[str, str]]:
    """A Markdown table as first cell → head → cell."""
    head, rule, *lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    assert set("".join(rule)) == {"-"} and all(len(line) == len(head) == len(rule) for line in lines)
    return {line[0]: dict(zip(head, line, strict=True)) for line in lines}


def named(task: str = "LaMP-4", seed: int = 0, group: str = "controls", **rows) -> dict:
    """A record with these rows' scores."""
    known = {"other": OTHER, "persona": PERSONA, "bm25": BM25_1}
    return record(group, seed, task, **{known.get(name, name): values for name, values in rows.items()})


def test_some_rows_alone_are_shown_and_the_rest_folded():
    few = score_table(RECORDS, (PLUG, INSTRUCTION))
    rows = [line.split(" | ")[0].strip("| ") for line in few.splitlines()[2:]]
    assert rows == [PLUG, INSTRUCTION] and set(few.splitlines()[2:]) <= set(score_table(RECORDS).splitlines())
    made = folded("Every row", few)
    assert made.startswith("<details><summary>Every row</summary>\n\n|") and made.endswith("|\n\n</details>")


@pytest.mark.parametrize("table", [main_table, gain_table, score_table, lambda records: seeds_by_users(records, PLUG)])
@pytest.mark.parametrize("other", [named(seed=1, plug=[1.0, 0.0]) | {"data_hash": "other"}, named(plug=[1.0, 0.0])])
def test_records_of_different_data_are_refused(table, other):
    with pytest.raises(ValueError, match="different data"):
        table([named(plug=[1.0, 0.0], none=[0, 0]), other])


def test_the_main_table_shows_the_means_over_users_and_seeds_and_how_many_seeds():
    table = main_table(
        [
            named("LaMP-4", 0, plug=[0.5, 0.7], none=[0.1, 0.2], persona=[0.8, 0.8]),
            named("LaMP-4", 1, plug=[0.9, 0.6], none=[0.1, 0.2], persona=[0.8, 0.8]),
            named("LaMP-4", 0, "retrieval", bm25=[0.4, 0.6]),
            named("LaMP-3", plug=[0.5, 0.25, 0.0], none=[1.0, 1.0, 1.0]),
        ]
    )
    found, theirs = cells(table), ["*paper: FlanT5-XXL as is*", "*paper: PPlug*"]
    assert list(found) == ["LaMP-3 product rating", "LaMP-4 news headline"]
    four, three = (list(found[name].values())[1:] for name in ("LaMP-4 news headline", "LaMP-3 product rating"))
    head = ["task", "metric", NONE, BM25_1, PLUG, PERSONA, "seeds", *theirs]
    assert list(found["LaMP-4 news headline"]) == head
    seeds = f"2; {BM25_1}: 1"
    assert four == ["rouge1 ↑", "0.150", "0.500", "**0.675**", "0.800", seeds, "*0.176*", "*0.211*"]
    assert three == ["mae ↓", "1.000", "–", "**0.250**", "–", "1", "*0.308*", "*0.242*"]


def test_the_gain_table_shows_gains_with_intervals_seeds_and_users():
    plug, none = [0.5, 0.75, 0.25], [0.25, 0.5, 0.0]
    records = [named("LaMP-4", s, plug=plug, none=none, other=plug, instruction=[0.9, 0.0, 0.2]) for s in (0, 1)]
    records.append(named("LaMP-3", plug=plug, none=none))
    found = cells(gain_table(records))
    assert list(found) == ["LaMP-3", "LaMP-4"]
    assert list(found["LaMP-4"]) == ["task", "metric", *(f"gain over {b}" for b in BASELINES), "users", "seeds"]
    assert found["LaMP-4"][f"gain over {NONE}"] == "+0.250 [+0.250, +0.250]"
    assert found["LaMP-3"][f"gain over {NONE}"] == "-0.250 [-0.250, -0.250]", "a higher error is worse"
    assert found["LaMP-4"][f"gain over {OTHER}"] == "+0.000 [+0.000, +0.000] ∅"
    assert found["LaMP-4"][f"gain over {BM25_1}"] == found["LaMP-4"][f"gain over {BM25_4}"] == "–"
    assert [(found[t]["users"], found[t]["seeds"]) for t in ("LaMP-4", "LaMP-3")] == [("3", "2"), ("3", "1")]
    interval = over(records[:2], PLUG, INSTRUCTION)
    told = found["LaMP-4"][f"gain over {INSTRUCTION}"]
    assert told == f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}] ∅"
    assert one_line(records[2]).startswith("LaMP-3 mae 0.500: ")


def test_gains_are_over_the_baselines_that_are_there_positive_is_better():
    found = gains([named("LaMP-3", plug=[0.5, 0.7], none=[1.0, 1.2], persona=[0.1, 0.1])], BASELINES)
    assert set(found) == {NONE} and found[NONE].mean == pytest.approx(0.5)
    assert gains([named(plug=[0.5], other=[0.25], none=[0.0])], (NONE,), OTHER)[NONE].mean == 0.25


def test_ablations_are_compared_with_the_standard_plug_of_their_seed_and_with_no_rival():
    rows = [record("ablations", s, **{STANDARD: [0.5, 0.5 + s], "mean": [0.25, 0.25]}) for s in (0, 1)]
    rows.append(record("selection", 0, top=[1.0, 1.0]))
    first = cells("\n".join(line.replace("|  |", "| row |") for line in ablation_table(rows, "ablations").splitlines()))
    assert first[STANDARD]["LaMP-4 rouge1 ↑"] == "0.750" and first["mean"]["seeds"] == "2"
    assert first["mean"]["LaMP-4 rouge1 ↑"].startswith("0.250 (-0.500 [")
    assert "| top | 1.000 (+0.500 [+0.500, +0.500]) | 1 |" in ablation_table(rows, "selection")
    controls = record("controls", plug=[1.0, 1.0], instruction=[0.0, 0.0])
    assert "mean" not in score_table([controls, *rows]) and row_names([controls, *rows]) == [PLUG, INSTRUCTION]


def test_a_row_that_is_left_out_says_why_and_what_the_papers_number_is_of_is_said():
    found = [named(plug=[1.0], instruction=[0.0]) | {"left_out": {"LoRA for each user": "no layers"}}]
    assert score_table(found).endswith("LoRA for each user: left out, no layers.")
    found.append(record("retrieval", **{"dense, 1 item": [0.5]}))
    line = next(line for line in score_table(found).splitlines() if line.startswith("| dense"))
    assert line == "| dense, 1 item | 0.500 ▲ | *0.183* † |" and "† The paper's is Contriever" in score_table(found)


def test_the_papers_strongest_rival_is_in_the_papers_column():
    """It has no row of ours: of all the paper's rivals, the best on each task must still be there."""
    found = [named(task, plug=[1.0], instruction=[0.0]) for task in TASKS]
    table = score_table(found)
    for task in TASKS:
        best = (min if task == "LaMP-3" else max)(numbers[task] for numbers in RIVALS_TEST.values())
        known = {name for name, numbers in RIVALS_TEST.items() if numbers[task] == best}
        assert any(f"the paper's {name}*" in table and f"*{best:.3f}*" in table for name in known), task
