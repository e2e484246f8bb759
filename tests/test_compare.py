"""The comparison runs as a whole: every group of rows, its costs, its record; and goes on where it stopped."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny

from pplug.config import get_profile
from pplug.data.retrieval import RETRIEVERS
from pplug.rivals import costs, distil, per_user
from pplug.study import cold_start, compare, rows
from pplug.study.ablations import CHOICES, PROCEDURES, SELECTIONS
from pplug.study.names import COLD_START, INSTRUCTION, NONE, PERSONA, PLUG
from pplug.study.scores import over, row_names
from pplug.study.setting import Setting
from pplug.study.tables import ablation_table, cost_table, duel_table, score_table, subset_table

TASK = "LaMP-4"
GROUPS = {name: group for name, group in compare.GROUPS.items() if group.tasks is None or TASK in group.tasks}
pytestmark = pytest.mark.long  # every group of rows, with a small LLM


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    llm = tiny.save_llm("t5", tmp_path_factory.mktemp("llm"))
    return replace(get_profile("smoke"), n_users=8, n_test=6, steps=2, batch_size=4, bootstrap=40, llm=str(llm))


@pytest.fixture(scope="module")
def results_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def records(profile, results_folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pplug.study.records.FOLDER", results_folder)
        patch.setattr(rows, "ADAPTED_USERS", 3)
        patch.setattr(Setting, "options", {"max_new_tokens": 4, "num_beams": 1})
        patch.setattr(costs, "TIMED_USERS", 1)
        patch.setattr(distil, "STEPS", 2)
        patch.setattr(per_user, "EPOCHS", 1)
        patch.setattr(cold_start, "USERS", 4)
        patch.setattr(cold_start, "LENGTHS", (0, 1, 8))
        for group in GROUPS:
            compare.run_group(group, TASK, profile, 0)
    return {path.stem: json.loads(path.read_text()) for path in (results_folder / "compare-smoke").glob("*.json")}


def test_every_group_has_a_record_that_says_what_it_ran_on(records):
    assert set(records) == {f"{TASK}-{group}-s0" for group in GROUPS}
    known = {"task", "group", "profile", "seed", "data_hash", "encoder", "llm", "commit", "versions", "hardware"}
    assert all(known <= set(record) and record["simulated"] for record in records.values())


def test_every_row_of_the_issue_is_there(records):
    rows = set(row_names(list(records.values())))
    found = {
        f"{how}, {k}{more}" for how in RETRIEVERS for k in ("1 item", "4 items") for more in ("", " + instruction")
    }
    assert found | {NONE, INSTRUCTION, PLUG, PERSONA, "plug, trained on shuffled users"} <= rows
    assert {"plug, mean pooling", "plug, top 4 items", "plug + 1 retrieved item"} <= rows
    assert {"distilled retriever, 1 item", "distilled retriever, 4 items", "summary", "summary + 1 item"} <= rows
    assert {f"{m} for each user" for m in ("LoRA", "IA3", "bottleneck adapter", "soft prompt")} <= rows


def test_costs_are_of_the_right_kind(records):
    costs = {name: cost for record in records.values() for name, cost in record.get("costs", {}).items()}
    for name, cost in costs.items():
        assert all(np.isfinite(value) and value >= 0 for value in cost.values()) and cost["latency"] > 0
        assert (cost["per_user"] > 0) == name.endswith("for each user")
        assert cost["trained"] >= cost["per_user"]
    free = [NONE, PERSONA, *(f"{how}, 4 items" for how in RETRIEVERS), "summary"]
    assert all(costs[name]["trained"] == 0 for name in free) and costs[INSTRUCTION]["stored_bytes"] == 0
    assert costs["BM25, 4 items"]["prompt_tokens"] > costs["BM25, 1 item"]["prompt_tokens"]
    assert costs["BM25, 1 item"]["prompt_tokens"] > costs[PLUG]["prompt_tokens"] > costs[NONE]["prompt_tokens"]
    assert costs["plug, mean pooling"]["stored_bytes"] < costs[PLUG]["stored_bytes"]
    assert costs["dense, 1 item"]["stored_bytes"] > costs["BM25, 1 item"]["stored_bytes"] > 0
    shared, lora = costs[INSTRUCTION]["trained"], costs["LoRA for each user"]
    assert lora["trained"] == shared + 3 * lora["per_user"] and lora["new_user_seconds"] > 0


def test_the_subset_is_the_same_users_in_every_row(records):
    adapted = records[f"{TASK}-adapters-s0"]
    assert len(adapted["users"]) == adapted["n"] == 3 == len(set(adapted["users"]))
    whole = records[f"{TASK}-controls-s0"]
    assert [whole["history_lengths"][user] for user in adapted["users"]] == adapted["history_lengths"]
    assert over(list(records.values()), "LoRA for each user").p is not None


def test_the_cold_start_compares_the_same_users_at_every_length(records):
    scores = records[f"{TASK}-{COLD_START}-s0"]["scores"]
    assert {NONE, PLUG, "BM25, 1 item"} <= set(scores)
    for by_length in scores.values():
        assert list(by_length) == ["0", "1", "8"] and {len(users) for users in by_length.values()} == {4}
    assert scores["BM25, 4 items"]["0"] == scores[NONE]["0"] == scores[NONE]["8"]


def test_the_tables_can_be_made_of_the_records(records):
    found = list(records.values())
    rows = len(row_names(found))
    for table in (score_table(found), cost_table(found), subset_table(found)):
        assert len([line for line in table.splitlines() if line.startswith("| ") and "paper's" not in line]) == rows + 2
    assert duel_table(found).count("\n") == rows  # the plug has no row against itself


def test_the_whole_table_is_written_beside_the_records(records, results_folder):
    path = compare.write_table(results_folder / "compare-smoke")
    lines = path.read_text().splitlines()
    assert path.name == "table.md" and f"## {TASK} news headline" in lines
    assert {f"## The plug's choices: {group}" for group in ("ablations", "selection", "release")} <= set(lines)
    of_rivals = [line for line in lines[: lines.index("## The plug's choices: ablations")] if line.startswith("| ")]
    assert len(of_rivals) == 2 * (len(row_names(list(records.values()))) + 2)


def test_every_choice_of_the_plug_has_a_row_that_says_what_was_chosen(records):
    found = list(records.values())
    rows = {row: about for record in found for row, about in record.get("rows", {}).items()}
    assert {name: rows[name]["choices"] for name in (*SELECTIONS, *PROCEDURES)} == SELECTIONS | PROCEDURES
    assert rows["mean"]["choices"] == CHOICES["mean"] and rows["mean"]["train_seconds"] > 0
    assert "no label in history" not in rows, "LaMP-4's history text is the same with and without"
    assert ablation_table(found, "selection").count("\n") == 1 + len(SELECTIONS)


def test_a_comparison_goes_on_where_it_stopped(records, profile, monkeypatch, tmp_path):
    class Here:
        """A pool that runs what it is given at once, in this process."""

        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, function, *arguments):
            from concurrent.futures import Future

            future = Future()
            future.set_result(function(*arguments))
            return future

    ran, told = [], []
    monkeypatch.setattr(compare, "FOLDER", tmp_path)
    monkeypatch.setattr(compare, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(compare, "write_table", lambda folder: folder / "table.md")
    monkeypatch.setattr(compare, "run_group", lambda *cell: ran.append((cell[0], cell[3])) or {"seconds": 1.0})
    (tmp_path / "compare-smoke").mkdir()
    (tmp_path / "compare-smoke" / f"{TASK}-controls-s0.json").write_text("{}")
    compare.run_groups(profile, [TASK], told.append)
    expected = {(name, seed) for name, group in GROUPS.items() for seed in group.seeds} - {("controls", 0)}
    assert set(ran) == expected and len(ran) == len(expected) == len(told) - 1
    assert told[-2].startswith(f"{len(expected)}/{len(expected)} after 0.0 min: {TASK}")
    assert told[-1].endswith("table.md")
