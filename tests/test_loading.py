"""The loader: what it makes of LaMP's files, what it refuses and how it says so, and that nothing leaks."""

import json
import shutil
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.base import reading
from pplug.base.errors import DataError
from pplug.base.files import file_hash
from pplug.data import loading as data_module
from pplug.data.lamp_files import SPLITS
from pplug.data.loading import Data, held_out_examples, load
from pplug.data.subsets import subset
from pplug.data.tasks import TASKS, build_input, query_text
from pplug.offline.simulate import simulate
from pplug.study.experiment import fit

A_GOLD = {"LaMP-1": "[1]", "LaMP-2": "classic", "LaMP-3": "4", "LaMP-4": "Rain!", "LaMP-5": "On rain", "LaMP-7": "omg"}


def item(task: str, text: str = "text", **more) -> dict:
    return dict.fromkeys(TASKS[task].fields, text) | more


def question(task: str, example_id: str = "1", profile=(), text: str = "asked", **more) -> dict:
    slots = dict.fromkeys(TASKS[task].slots, text)
    return {"id": example_id, "input": build_input(TASKS[task], **slots), "profile": list(profile)} | more


def outputs(task: str, *ids: str, **more) -> dict:
    return {"task": task.replace("-", "_"), "golds": [{"id": i, "output": A_GOLD[task]} for i in ids]} | more


def put(folder, **files):
    """Write `{name}.json`: text as it is, anything else as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return folder


def rows_as_items(data: Data, example: dict) -> list[dict]:
    return [data.items[row] for row in example["profile"]]


def refused(folder, task: str, cache) -> str:
    """The message with which the loader refuses the folder, leaving nothing behind."""
    with pytest.raises(DataError) as caught:
        load(folder, task, cache)
    assert not list(cache.rglob("*.arrow")) and not list(cache.rglob("done"))
    return str(caught.value)


@pytest.fixture
def good(tmp_path):
    """A folder of LaMP-4 files with two questions of two users."""
    profiles = [item("LaMP-4", "a", date="2020-01-01")], [item("LaMP-4", "b", date="2020-01-02")]
    questions = [question("LaMP-4", str(i), profile) for i, profile in enumerate(profiles)]
    return put(tmp_path / "good", train_questions=questions, train_outputs=outputs("LaMP-4", "0", "1"))


# What it makes of the files


@pytest.mark.parametrize("task", TASKS)
def test_examples_and_one_history_table_are_memory_mapped_datasets(task, tmp_path):
    shared = item(task, "shared", id="7", date="2020-01-01")
    mine = item(task, "mine", id="8", date="2020-01-02")
    first, second = question(task, "a", [mine, shared]), question(task, "b", [shared | {"id": "9"}], user_id="u")
    put(tmp_path / "in", train_questions=[first], train_outputs=outputs(task, "a"), test_questions=[second])
    data = load(tmp_path / "in", task.replace("-", "_"), tmp_path / "cache")
    assert data.task is TASKS[task] and list(data.splits) == ["train", "test"]
    for table in (data.history, *data.splits.values()):
        assert isinstance(table, Dataset) and table.cache_files
        assert all(str(tmp_path / "cache") in file["filename"] for file in table.cache_files)
    assert sorted(data.history.column_names) == sorted(TASKS[task].fields)
    assert data.items == [item(task, "shared"), item(task, "mine")], "each distinct text once"
    assert data.splits["train"].to_list() == [
        {"id": "a", "user_id": "a", "input": first["input"], "output": A_GOLD[task], "date": "", "profile": [0, 1]}
    ]
    assert data.splits["test"].to_list() == [
        {"id": "b", "user_id": "u", "input": second["input"], "output": None, "date": "", "profile": [0]}
    ]
    assert data.hash == file_hash(
        *((tmp_path / "in" / f"{n}.json") for n in ("train_questions", "train_outputs", "test_questions"))
    )
    assert data.factors is None


@pytest.mark.parametrize(
    "days",
    [["2020-01-03", "2019-12-31", "2020-01-01"], [2011, 1999, 2010], ["2020-10-01", "2020-9-30", "2020-10-01"]],
    ids=["days", "years", "days without leading zeros"],
)
def test_time_based_profiles_are_sorted_by_date_oldest_first(days, tmp_path):
    profile = [item("LaMP-7", f"tweet {i}", date=day) for i, day in enumerate(days)]
    data = load(put(tmp_path, dev_questions=[question("LaMP-7", "a", profile)]), "LaMP-7", tmp_path / "cache")
    order = [1, 0, 2] if days[0] == days[2] else [1, 2, 0]  # the same day: the order of the file
    assert rows_as_items(data, data.splits["dev"][0]) == [{"text": f"tweet {i}"} for i in order]


def test_user_based_profiles_without_date_keep_the_order_of_the_file(tmp_path):
    profile = [item("LaMP-7", text) for text in ("z", "a", "m", "a")]
    data = load(put(tmp_path, dev_questions=[question("LaMP-7", "a", profile)]), "LaMP-7", tmp_path / "cache")
    assert [found["text"] for found in rows_as_items(data, data.splits["dev"][0])] == ["z", "a", "m", "a"]
    assert len(data.history) == 3


def test_items_that_differ_in_one_field_only_are_two(tmp_path):
    profile = [item("LaMP-3", "same", score=score) for score in (1, 2, "1")]
    data = load(put(tmp_path, dev_questions=[question("LaMP-3", "a", profile)]), "LaMP-3", tmp_path / "cache")
    assert data.items == [{"text": "same", "score": "1"}, {"text": "same", "score": "2"}]
    assert data.splits["dev"][0]["profile"] == [0, 1, 0]
    assert data.history_texts() == ["score 1, 1 stars, 1/5: same", "score 2, 2 stars, 2/5: same"]
    assert data.history_texts(with_label=False) == ["same", "same"]


def test_a_split_without_questions_is_legal(tmp_path):
    files = {"dev_questions": [], "dev_outputs": outputs("LaMP-3"), "test_questions": [question("LaMP-3")]}
    data = load(put(tmp_path, **files), "LaMP-3", tmp_path / "cache")
    assert {split: len(examples) for split, examples in data.splits.items()} == {"dev": 0, "test": 1}


@pytest.mark.parametrize("others", [0, 1])
def test_empty_histories_are_legal(tmp_path, others):
    questions = [question("LaMP-3", "new"), *(question("LaMP-3", f"{i}", [item("LaMP-3")]) for i in range(others))]
    data = load(put(tmp_path, test_questions=questions), "LaMP-3", tmp_path / "cache")
    assert data.splits["test"][0]["profile"] == [] and len(data.items) == others
    assert data.history.cache_files and sorted(data.history.column_names) == ["score", "text"]


def test_numbers_as_ids_and_outputs_are_read_as_text(tmp_path):
    files = {"dev_questions": [question("LaMP-3", 1)], "dev_outputs": {"golds": [{"id": "1", "output": 4}]}}
    data = load(put(tmp_path, **files), "LaMP-3", tmp_path / "cache")
    assert (data.splits["dev"][0]["id"], data.splits["dev"][0]["output"]) == ("1", "4")


def test_null_in_a_field_is_no_text(tmp_path):
    folder = put(tmp_path, train_questions=[question("LaMP-4", "1", [item("LaMP-4", "a") | {"title": None}])])
    assert load(folder, "LaMP-4", tmp_path / "cache").items == [{"text": "a", "title": ""}]


@settings(max_examples=15)
@given(st.lists(st.text(), max_size=4), st.text())
def test_any_unicode_arrives_unchanged(tmp_path_factory, said, asked):
    folder = tmp_path_factory.mktemp("unicode")
    profile = [item("LaMP-4", text) for text in said]
    data = load(put(folder, dev_questions=[question("LaMP-4", "a", profile, asked)]), "LaMP-4", folder / "cache")
    assert [found["text"] for found in rows_as_items(data, data.splits["dev"][0])] == said
    assert query_text(data.task, data.splits["dev"][0]["input"]) == asked


# Real files


def test_real_user_based_lamp_1_is_read_as_it_is(realdata, tmp_path):
    folder = realdata / "official" / "LaMP_1"
    data = load(folder, "LaMP-1", tmp_path)
    assert {split: len(examples) for split, examples in data.splits.items()} == {"train": 5, "dev": 3, "test": 4}
    distinct = set()
    for split, examples in data.splits.items():
        raw = json.loads((folder / f"{split}_questions.json").read_text(encoding="utf-8"))
        for example, source in zip(examples, raw, strict=True):
            papers = [{field: paper[field] for field in ("title", "abstract")} for paper in source["profile"]]
            assert (example["id"], example["input"]) == (source["id"], source["input"])
            assert rows_as_items(data, example) == papers and "date" not in source["profile"][0]
            assert example["output"] in ((None,) if split == "test" else ("[1]", "[2]"))
            distinct |= {tuple(paper.values()) for paper in papers}
    assert len(data.history) == len(distinct) and data.history.cache_files


def test_real_time_based_lamp_4_is_read_as_it_is(realdata, tmp_path):
    data = load(realdata / "LaMP_4", "LaMP-4", tmp_path)
    distinct, written = set(), 0
    for split, examples in data.splits.items():
        raw = json.loads((realdata / "LaMP_4" / f"{split}_questions.json").read_text(encoding="utf-8"))
        golds = json.loads((realdata / "LaMP_4" / f"{split}_outputs.json").read_text(encoding="utf-8"))["golds"]
        assert examples["output"][:] == [gold["output"] for gold in golds] and len(examples) == 137
        for example, source in zip(examples, raw, strict=True):
            assert example["user_id"] == source["user_id"]
            profile = sorted(source["profile"], key=lambda article: article["date"])
            assert rows_as_items(data, example) == [{"text": a["text"], "title": a["title"]} for a in profile]
            distinct |= {(a["text"], a["title"]) for a in profile}
            written += len(profile)
    assert len(data.history) == len(distinct) < written / 2, "three splits share most of their history"


def test_real_golds_of_other_questions_are_refused(realdata, tmp_path):
    source = realdata / "official" / "LaMP_1"
    shutil.copy(source / "dev_questions.json", tmp_path)
    shutil.copy(source / "dev_outputs_250_golds.json", tmp_path / "dev_outputs.json")
    told = refused(tmp_path, "LaMP-1", tmp_path / "cache")
    assert told.startswith(
        f"{tmp_path / 'dev_outputs.json'}: expected one gold for each question of dev_questions.json"
    )
    assert "0 questions without gold, 247 golds without question (" in told


def test_real_golds_some_of_which_are_there_twice_are_refused(realdata, tmp_path):
    source = realdata / "official" / "LaMP_1"
    shutil.copy(source / "train_questions.json", tmp_path)
    golds = json.loads((source / "train_outputs_240_golds.json").read_text(encoding="utf-8"))
    put(tmp_path, train_outputs=golds)
    told = refused(tmp_path, "LaMP-1", tmp_path / "cache")
    assert told == f"{tmp_path / 'train_outputs.json'}: example 002689: expected each id once, it is there twice"
    golds["golds"] = list({gold["id"]: gold for gold in golds["golds"]}.values())
    told = refused(put(tmp_path, train_outputs=golds), "LaMP-1", tmp_path / "cache")
    assert "expected one gold for each question of train_questions.json" in told and "golds without question (" in told


def test_real_old_lamp_2_news_are_recognised(realdata, tmp_path):
    told = refused(realdata / "official" / "LaMP_2N", "LaMP-2", tmp_path)
    first = json.loads((realdata / "official" / "LaMP_2N" / "train_questions.json").read_text(encoding="utf-8"))[0]
    assert "train_questions.json" in told and f"example {first['id']}:" in told
    assert "movie tagging" in told and "news categorisation" in told and "LaMP_2/new/" in told


# What it refuses


@pytest.mark.fault(13)
@pytest.mark.parametrize("date", ["31/05/2024", "31.05.2024", "05/31/2024", "31.05", "31 May 2024", "01:00 PM"])
@pytest.mark.parametrize("place", ["item", "question"])
def test_a_date_that_can_be_read_in_two_ways_is_refused(tmp_path, date, place):
    """Sorted by its numbers, an item from the future entered a history."""
    items = [item("LaMP-4", date="2024-06-01"), item("LaMP-4", date=date if place == "item" else "2024-06-02")]
    asked = question("LaMP-4", "9", items, date=date if place == "question" else "2024-07-01")
    told = refused(put(tmp_path, dev_questions=[asked]), "LaMP-4", tmp_path / "cache")
    assert told.startswith(f"{tmp_path / 'dev_questions.json'}: example 9: expected a date in ISO 8601")
    assert told.endswith(f"found {date!r}")


@pytest.mark.parametrize("zone", ["+02:00", "Z", ""])
def test_dates_with_and_without_zone_are_sorted_by_time(tmp_path, zone):
    days = [f"2024-05-31T10:00{zone}", "2024-05-31T09:00Z", "2024-05-31T08:30Z", "1717142400000"]
    profile = [item("LaMP-7", str(i), date=day) for i, day in enumerate(days)]
    data = load(put(tmp_path, dev_questions=[question("LaMP-7", "a", profile)]), "LaMP-7", tmp_path / "cache")
    order = "0321" if zone == "+02:00" else "3210"
    assert [found["text"] for found in rows_as_items(data, data.splits["dev"][0])] == list(order)


@pytest.mark.parametrize("example", [
    {"input": "Which category does this article relate to among the following categories? article: x", "profile": []},
    question("LaMP-2", profile=[{"text": "x", "title": "x", "category": "politics", "id": "1"}]),
], ids=["by its input", "by its profile"])  # fmt: skip
def test_old_lamp_2_news_are_recognised(example, tmp_path):
    told = refused(put(tmp_path, dev_questions=[{"id": "112"} | example]), "LaMP-2", tmp_path / "cache")
    assert f"{tmp_path / 'dev_questions.json'}: example {example.get('id', '112')}: expected movie tagging" in told
    assert "LaMP_2/new/" in told


HTML = "<!DOCTYPE html>\n<html><body>Welcome</body></html>"


@pytest.mark.parametrize("name", ["train_questions", "train_outputs"])
@pytest.mark.parametrize(
    ("text", "what"),
    [
        (HTML, "expected JSON, found an HTML page"),
        ("\n " + HTML, "expected JSON, found an HTML page"),
        ("", "expected JSON, but it is malformed or truncated"),
        ("[{]", "expected JSON, but it is malformed or truncated"),
        ('{"golds": [', "expected JSON, but it is malformed or truncated"),
    ],
)
def test_what_is_no_json_is_refused(good, tmp_path, name, text, what):
    (good / f"{name}.json").write_text(text)
    assert refused(good, "LaMP-4", tmp_path / "cache").startswith(f"{good / f'{name}.json'}: {what}")


@pytest.mark.parametrize("name", ["train_questions", "train_outputs"])
def test_a_file_cut_anywhere_is_refused(good, tmp_path, name):
    whole = (good / f"{name}.json").read_text()
    for end in range(0, len(whole), 7):
        (good / f"{name}.json").write_text(whole[:end])
        assert f"{good / f'{name}.json'}: expected JSON" in refused(good, "LaMP-4", tmp_path / "cache")


def changed(task: str = "LaMP-4", **fields) -> list[dict]:
    """A good question and one with changed fields; a field that is None is left out."""
    wrong = question(task, "bad", [item(task)]) | fields
    return [question(task, "fine", [item(task)]), {name: value for name, value in wrong.items() if value is not None}]


@pytest.mark.parametrize(
    ("questions", "told"),
    [
        ({"id": "1"}, "expected a list of questions"),
        ("null", "expected a list of questions"),
        (["text"], 'expected questions with an "id"'),
        ([{"input": "x"}], 'expected questions with an "id"'),
        (changed(id="fine"), "example fine: expected each id once, it is there twice"),
        (changed(input=None), 'example bad: expected the field "input"'),
        (changed(profile=None), 'example bad: expected the field "profile"'),
        (changed(input=7), 'example bad: expected text in "input"'),
        (changed(profile={}), 'example bad: expected a list in "profile"'),
        (changed(profile=[item("LaMP-4"), "text"]), "example bad: expected an object as profile item 1"),
        (changed(profile=[item("LaMP-4"), {"text": "x"}]), 'example bad: expected the field "title" in profile item 1'),
        (changed(input="Write a headline: x"), "example bad: the input does not follow LaMP-4's template"),
        (changed(input=question("LaMP-5")["input"]), "example bad: the input does not follow LaMP-4's template"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_wrong_questions_are_refused_by_file_and_example(tmp_path, questions, told):
    folder = put(tmp_path / "in", test_questions=questions)
    assert refused(folder, "LaMP-4", tmp_path / "cache").startswith(f"{folder / 'test_questions.json'}: {told}")


@pytest.mark.parametrize("task", TASKS)
def test_each_profile_field_is_needed(task, tmp_path):
    for field in TASKS[task].fields:
        lacking = {name: text for name, text in item(task, id="7").items() if name != field}
        told = refused(put(tmp_path, dev_questions=[question(task, "9", [lacking])]), task, tmp_path / "cache")
        assert told == f'{tmp_path / "dev_questions.json"}: example 9: expected the field "{field}" in profile item 0'


@pytest.mark.parametrize(
    ("golds", "told"),
    [
        ([], 'expected an object with "task" and a list of "golds"'),
        ({"task": "LaMP_3"}, 'expected an object with "task" and a list of "golds"'),
        ({"task": "LaMP_3", "golds": None}, 'expected an object with "task" and a list of "golds"'),
        (outputs("LaMP-4", "1"), "expected outputs of LaMP-3, it says LaMP-4"),
        (outputs("LaMP-3", golds=["4"]), 'expected golds with "id" and "output"'),
        (outputs("LaMP-3", golds=[{"id": "1"}]), 'expected golds with "id" and "output"'),
        (outputs("LaMP-3", "1", "1"), "example 1: expected each id once, it is there twice"),
        (
            outputs("LaMP-3", golds=[{"id": "1", "output": "6"}]),
            "example 1: expected one of the labels 1, 2, 3, 4, 5 as output, found '6'",
        ),
        (
            outputs("LaMP-3", golds=[{"id": "1", "output": "4.0"}]),
            "example 1: expected one of the labels 1, 2, 3, 4, 5 as output, found '4.0'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_outputs_are_refused_by_file_and_example(tmp_path, golds, told):
    folder = put(tmp_path / "in", dev_questions=[question("LaMP-3", "1")], dev_outputs=golds)
    assert refused(folder, "LaMP-3", tmp_path / "cache") == f"{folder / 'dev_outputs.json'}: {told}"


@pytest.mark.parametrize(("task", "label"), [("LaMP-1", "[3]"), ("LaMP-2", "Comedy"), ("LaMP-2", "politics")])
def test_a_label_outside_the_labels_is_refused(tmp_path, task, label):
    golds = outputs(task, golds=[{"id": "1", "output": label}])
    told = refused(put(tmp_path, dev_questions=[question(task)], dev_outputs=golds), task, tmp_path / "cache")
    assert f"example 1: expected one of the labels {', '.join(TASKS[task].labels)} as output, found {label!r}" in told


@pytest.mark.parametrize(
    ("golds", "told"),
    [
        (["a", "b", "c"], "0 questions without gold, 1 golds without question (c)"),
        (["a"], "1 questions without gold (b), 0 golds without question"),
        (["c", "d", "e", "f"], "2 questions without gold (a, b), 4 golds without question (c, d, e, ...)"),
    ],
)
def test_ids_of_questions_and_outputs_must_match(tmp_path, golds, told):
    questions = [question("LaMP-4", "a"), question("LaMP-4", "b")]
    folder = put(tmp_path / "in", train_questions=questions, train_outputs=outputs("LaMP-4", *golds))
    said = refused(folder, "LaMP-4", tmp_path / "cache")
    assert (
        said == f"{folder / 'train_outputs.json'}: expected one gold for each question of train_questions.json: {told}"
    )


def test_the_order_of_the_golds_does_not_matter(tmp_path):
    golds = [{"id": "b", "output": "for b"}, {"id": "a", "output": "for a"}]
    files = {"train_questions": [question("LaMP-4", "a"), question("LaMP-4", "b")], "train_outputs": {"golds": golds}}
    data = load(put(tmp_path / "in", **files), "LaMP-4", tmp_path / "cache")
    assert data.splits["train"]["output"][:] == ["for a", "for b"]


def test_an_unknown_task_is_an_error_that_lists_the_six(good, tmp_path):
    with pytest.raises(ValueError, match="unknown task 'LaMP-6': expected one of LaMP-1, LaMP-2, LaMP-3, LaMP-4"):
        load(good, "LaMP-6", tmp_path / "cache")


def test_a_folder_without_questions_is_refused(good, tmp_path):
    (good / "train_questions.json").unlink()
    for folder in (good, tmp_path / "nowhere"):
        assert refused(folder, "LaMP-4", tmp_path / "cache").startswith(f"{folder}: no LaMP files here")


# The memory-mapped copies


def test_the_second_time_the_files_are_not_read_again(good, tmp_path, monkeypatch):
    first = load(good, "LaMP-4", tmp_path / "cache")
    monkeypatch.setattr(data_module, "read_split", lambda *_: pytest.fail("read again"))
    again = load(good, "LaMP-4", tmp_path / "cache")
    assert again.items == first.items and again.splits["train"].to_list() == first.splits["train"].to_list()


def test_a_changed_file_is_read_again(good, tmp_path):
    before = load(good, "LaMP-4", tmp_path / "cache")
    golds = outputs("LaMP-4", golds=[{"id": i, "output": "Snow!"} for i in "01"])
    after = load(put(good, train_outputs=golds), "LaMP-4", tmp_path / "cache")
    assert before.splits["train"]["output"][:] == ["Rain!"] * 2 and after.splits["train"]["output"][:] == ["Snow!"] * 2
    assert before.hash != after.hash


def test_the_same_file_under_another_splits_name_is_another_split(good, tmp_path):
    (good / "train_outputs.json").unlink()
    assert list(load(good, "LaMP-4", tmp_path / "cache").splits) == ["train"]
    (good / "train_questions.json").rename(good / "dev_questions.json")
    assert list(load(good, "LaMP-4", tmp_path / "cache").splits) == ["dev"]


def test_the_cache_folder_is_used_if_none_is_given(good, monkeypatch, tmp_path):
    monkeypatch.setenv("PPLUG_CACHE", str(tmp_path / "mine"))
    (file,) = load(good, "LaMP-4").history.cache_files
    assert file["filename"].startswith(str(tmp_path / "mine"))


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("written", [0, 1])
def test_an_interrupted_copy_leaves_nothing_and_is_made_anew(good, tmp_path, monkeypatch, written, error):
    from datasets.arrow_writer import ArrowWriter

    finish, calls = ArrowWriter.finalize, []

    def interrupted(self):
        calls.append(self)
        if len(calls) > written:
            raise error("disk full")
        return finish(self)

    monkeypatch.setattr(ArrowWriter, "finalize", interrupted)
    with pytest.raises(error):
        load(good, "LaMP-4", tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    monkeypatch.undo()
    assert len(load(good, "LaMP-4", tmp_path / "cache").items) == 2


def test_a_copy_of_a_killed_run_is_rebuilt(good, tmp_path):
    whole = load(good, "LaMP-4", tmp_path / "cache")
    items, examples = whole.items, whole.splits["train"].to_list()
    (done,) = (tmp_path / "cache").rglob("done")
    done.unlink()
    for table in done.parent.rglob("*.arrow"):
        table.write_bytes(b"half")
    (done.parent / "stale").mkdir()
    again = load(good, "LaMP-4", tmp_path / "cache")
    assert again.items == items and again.splits["train"].to_list() == examples
    assert done.exists() and not (done.parent / "stale").exists()


def test_nothing_is_drawn(good, tmp_path, capfd):
    load(good, "LaMP-4", tmp_path / "cache")
    assert capfd.readouterr() == ("", "")


@pytest.mark.fault(21)
def test_a_text_column_may_be_larger_than_2_gib(good, tmp_path):
    """Offsets of 32 bits end there. Files of that size are too large for a test: the type of the columns is not."""
    data = load(good, "LaMP-4", tmp_path / "cache")
    texts = [data.history.features[field] for field in data.task.fields]
    texts += [data.splits["train"].features[column] for column in ("id", "user_id", "input", "output", "date")]
    assert {feature.dtype for feature in texts} == {"large_string"}
    assert {subset(data, 1).splits["train"].features["input"].dtype} == {"large_string"}


@pytest.mark.fault(21)
def test_loading_holds_little_of_the_files_in_memory(tmp_path, monkeypatch):
    """Real LaMP-3 is a list of 2.7 GB; read at once it takes three times that."""
    monkeypatch.setattr(data_module, "BATCH", 20, raising=False)
    monkeypatch.setattr(reading, "BLOCK", 1 << 17, raising=False)
    load(put(tmp_path / "small", train_questions=[question("LaMP-4")]), "LaMP-4", tmp_path / "cache")  # imports
    profile = [item("LaMP-4", "x" * 1000, id=str(i)) for i in range(10)]
    for number in range(10):  # each item is another one
        profile[number]["title"] = f"{number}"
    questions = [question("LaMP-4", str(q), [i | {"title": f"{q} {i['title']}"} for i in profile]) for q in range(600)]
    put(tmp_path / "large", train_questions=questions)
    size = (tmp_path / "large" / "train_questions.json").stat().st_size
    del questions
    tracemalloc.start()
    data = load(tmp_path / "large", "LaMP-4", tmp_path / "cache")
    small = subset(data, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data.history) == 6000 and len(small.items) == 30
    assert peak < size / 3


# Splits without outputs


def test_a_split_without_outputs_or_questions_gives_no_examples_and_says_so(tmp_path, caplog):
    asked = [question("LaMP-4", "1", [item("LaMP-4")])]
    files = {"train_questions": asked, "train_outputs": outputs("LaMP-4", "1"), "dev_questions": asked}
    data = load(put(tmp_path, **files, test_questions=[]), "LaMP-4", tmp_path / "cache")
    assert [e["id"] for e in data_module.examples_with_output(data, "train")] == ["1"] and not caplog.text
    assert data_module.examples_with_output(data, "test") == [] and not caplog.text
    assert (
        data_module.examples_with_output(data, "dev") == []
        and "1 of 1 dev questions have no output here" in caplog.text
    )


@pytest.mark.fault(27)
@pytest.mark.parametrize("dev", ["withheld", "empty", "absent"])
def test_a_plug_is_trained_without_dev_outputs(tmp_path, caplog, tiny_profile, dev):
    """The dev loss is left out; it used to end in an IndexError."""
    folder = simulate(tmp_path / "LaMP_3", "LaMP-3", 4, seed=9)
    (folder / "dev_outputs.json").unlink()
    if dev == "empty":
        put(folder, dev_questions=[], dev_outputs=outputs("LaMP-3"))
    elif dev == "absent":
        (folder / "dev_questions.json").unlink()
    profile = replace(tiny_profile, data=str(tmp_path), n_users=None)
    fitted = fit("LaMP-3", profile)
    assert [set(row) for row in fitted.curve] == [{"step", "loss"}]
    assert ("dev questions have no output here" in caplog.text) == (dev == "withheld")


# Tasks of one's own


def test_a_task_of_ones_own_is_loaded(tmp_path):
    spec = replace(
        TASKS["LaMP-4"],
        name="my-replies",
        template="Reply to {article}",
        labels=("yes", "no"),
        metrics=("accuracy", "f1"),
    )
    files = {"dev_questions": [{"id": "1", "input": "Reply to me", "profile": [item("LaMP-4", "a")]}]}
    golds = {"task": "my-replies", "golds": [{"id": "1", "output": "yes"}]}
    data = load(put(tmp_path, **files, dev_outputs=golds), spec, tmp_path / "cache")
    assert data.task is spec and data.splits["dev"]["output"][:] == ["yes"]


def test_files_read_as_another_task_are_checked_again(good, tmp_path):
    load(good, "LaMP-4", tmp_path / "cache")
    other = replace(TASKS["LaMP-4"], template="Say {article}")
    with pytest.raises(DataError, match="does not follow"):
        load(good, other, tmp_path / "cache")


def test_a_folder_that_names_no_task_is_told(good, tmp_path):
    with pytest.raises(DataError, match=r"no task is named and there is no task.json here"):
        load(good, cache=tmp_path / "cache")


# Held-out history items


def made(task: str, profiles: dict[str, list[dict]]) -> Data:
    """Data of users with these histories, one train question each, without files."""
    table = {}
    rows = {user: [table.setdefault(tuple(i.values()), len(table)) for i in items] for user, items in profiles.items()}
    history = Dataset.from_list([dict(zip(TASKS[task].fields, key, strict=True)) for key in table])
    examples = [question(task, user) | {"user_id": user, "profile": found} for user, found in rows.items()]
    return Data(TASKS[task], history, {"train": Dataset.from_list(examples)}, "hash")


def test_held_out_examples_by_hand():
    first, second, third = ({"text": f"article {i}", "title": f"Title {i}"} for i in (1, 2, 3))
    data = made("LaMP-4", {"u": [first, second, third], "v": [third], "w": []})
    assert held_out_examples(data) == [
        {
            "id": f"u/{i}",
            "user_id": "u",
            "input": f"Generate a headline for the following article: article {i + 1}",
            "output": f"Title {i + 1}",
            "date": "",
            "profile": list(range(i)),
        }
        for i in (1, 2)
    ]


HISTORIES = st.dictionaries(
    st.sampled_from("uvw"),
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("12345")), max_size=7),
    min_size=1,
)


@settings(max_examples=40)
@given(HISTORIES)
def test_a_held_out_example_knows_nothing_of_its_future_nor_itself(histories):
    profiles = {user: [{"text": t, "score": s} for t, s in items] for user, items in histories.items()}
    profiles["z"] = [{"text": "z", "score": "1"}]  # a table needs a row
    data = made("LaMP-3", profiles)
    examples = held_out_examples(data)
    assert [example["id"] for example in examples] == [
        f"{u}/{i}" for u, p in profiles.items() for i in range(1, len(p)) if set(map(str, p[:i])) - {str(p[i])}
    ], "all but those with nothing before them, or copies of themselves only"
    for example in examples:
        position = int(example["id"].split("/")[1])
        own = profiles[example["user_id"]]
        asked = {"text": query_text(data.task, example["input"]), "score": example["output"]}
        assert asked == own[position]
        told = rows_as_items(data, example)
        assert asked not in told, "a copy of the item would give the answer away"
        assert told == [item for item in own[:position] if item != asked], "all that came before, and nothing else"


def test_a_users_longest_train_history_is_used_and_no_other_split(tmp_path):
    items = [item("LaMP-4", text, date=f"2020-01-0{i}") for i, text in enumerate("abcd", 1)]
    train = [question("LaMP-4", str(n), items[:n], user_id="u") for n in (1, 3, 2)]
    files = {"train_questions": train, "test_questions": [question("LaMP-4", "9", items, user_id="u")]}
    examples = held_out_examples(load(put(tmp_path, **files), "LaMP-4", tmp_path / "cache"))
    assert [query_text(TASKS["LaMP-4"], example["input"]) for example in examples] == ["b", "c"]


@pytest.mark.parametrize("task", ["LaMP-1", "LaMP-7"])
def test_items_without_a_question_give_no_examples(task, tmp_path):
    folder = put(tmp_path, train_questions=[question(task, "1", [item(task, "a"), item(task, "b")])])
    assert held_out_examples(load(folder, task, tmp_path / "cache")) == []


def test_real_held_out_examples_come_before_their_question(realdata, tmp_path):
    data = load(realdata / "LaMP_4", "LaMP-4", tmp_path)
    dates = {}
    for source in json.loads((realdata / "LaMP_4" / "train_questions.json").read_text(encoding="utf-8")):
        days = {}
        for article in source["profile"]:
            days.setdefault((article["text"], article["title"]), []).append(article["date"])
        dates[source["user_id"]] = days
    examples = held_out_examples(data)
    assert len(examples) > 1000
    for example in examples[::17]:
        known = dates[example["user_id"]]
        latest = max(known[query_text(data.task, example["input"]), example["output"]])
        for told in rows_as_items(data, example):
            assert min(known[told["text"], told["title"]]) <= latest
        order = [min(known[told["text"], told["title"]]) for told in rows_as_items(data, example)]
        assert sum(a > b for a, b in pairwise(order)) <= len(order) // 20, "oldest first, but for repeated articles"


def test_the_splits_are_lamps():
    assert SPLITS == ("train", "dev", "test")
