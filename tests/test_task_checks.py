"""Tasks of one's own: what has a default, what is refused, and that they survive JSON."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.base.errors import DataError, InputError
from pplug.data.tasks import (
    TASKS,
    Task,
    build_input,
    get_task,
    history_text,
    parse_input,
    prompt_as_lamp,
    prompt_with_items,
    query_text,
)

# Tasks of one's own

REPLIES = {"name": "replies", "template": "Reply to: {message}", "fields": ("message", "reply")}


def test_a_task_needs_a_name_a_template_and_fields_and_has_a_default_for_all_else():
    task = Task(**REPLIES)
    assert (task.title, task.query_slot, task.slots) == ("replies", "message", ["message"])
    assert (task.labels, task.metrics, task.max_new_tokens) == ((), ("rouge1", "rougeL"), 40)
    item = {"message": "Tea?", "reply": "Yes {please}", "id": 7}
    assert history_text(task, item) == history_text(task, item, with_label=False) == "Tea? Yes {please}"
    told = 'message: "Tea?", reply: "Yes {please}"'
    assert prompt_with_items(task, [item], "Reply to: x") == prompt_as_lamp(task, [item], "Reply to: x")
    assert prompt_with_items(task, [item], "Reply to: x") == f"{told}. Reply to: x"
    text = build_input(task, message="Cake?")
    assert parse_input(task, text) == {"message": "Cake?"} and query_text(task, text) == "Cake?"


def test_a_task_with_labels_is_scored_as_one_and_hides_the_label_where_asked():
    task = Task("mood", "Of {day}: {text}", ("text", "mood"), labels=["good", "bad"])
    assert (task.labels, task.metrics, task.max_new_tokens) == (("good", "bad"), ("accuracy", "f1"), 10)
    assert task.query_slot == "text", "the last one"
    asked = Task("mood", "Of: {text}", ["text", "mood"], labels=["good", "bad"], held_out=["text", "mood"])
    item = {"text": "Sun.", "mood": "good"}
    assert history_text(asked, item) == "Sun. good" and history_text(asked, item, with_label=False) == "Sun."
    assert Task("n", "{t}", ("t",), labels=("1", "2"), metrics=("mae",), max_new_tokens=3).max_new_tokens == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": ""}, "name: expected up to 64 letters"),
        ({"name": "a/b"}, "name: expected up to 64 letters"),
        ({"name": "../x"}, "name"),
        ({"name": "my_task"}, "name"),
        ({"name": 4}, "name: expected text, found 4"),
        ({"template": "Reply"}, "template: expected the place"),
        ({"template": "Reply to {}: {message}"}, "template: expected braces around names only"),
        ({"template": "{0}"}, "template: expected braces"),
        ({"template": "{message!r} {message}"}, "template: expected braces"),
        ({"template": "{message} {message}"}, "template: expected each slot once"),
        ({"template": "{who}{message}"}, "template: expected text between"),
        ({"template": None}, "template: expected text"),
        ({"query_slot": "reply"}, "query_slot: expected one of the template's slots, message"),
        ({"fields": ()}, "fields: expected at least one"),
        ({"fields": "message"}, "fields: expected a list of texts"),
        ({"fields": ("message", "message")}, "fields: expected each field once"),
        ({"fields": ("a message",)}, "fields: expected names of letters"),
        ({"history": "{message} {answer}"}, "history: expected at least one of {message}, {reply}, and no other"),
        ({"labelled_history": "the same for all"}, "labelled_history: expected at least one"),
        ({"prompt_item": "{message} {"}, "prompt_item: expected braces"),
        ({"lamp_item": "{message.name}"}, "lamp_item: expected braces"),
        ({"held_out": ("message",)}, "held_out: expected two of the fields"),
        ({"held_out": ("message", "answer")}, "held_out: expected two of the fields"),
        ({"held_out": ("message", "message")}, "held_out: expected two of the fields"),
        (
            {"held_out": ("message", "reply"), "template": "{who}: {message}"},
            "held_out: expected a template of one slot",
        ),
        ({"items_inside": True}, "items_inside: expected"),
        ({"items_inside": "yes"}, "items_inside: expected true or false"),
        ({"labels": ("yes",)}, "labels: expected at least two"),
        ({"labels": ("yes", "yes")}, "labels: expected at least two, each once"),
        ({"labels": ("yes", " no")}, "labels"),
        ({"labels": ("yes", "")}, "labels: expected a list of texts"),
        ({"labels": ("yes", "no"), "metrics": ("rouge1",)}, "metrics: expected accuracy, f1 or mae, rmse"),
        ({"labels": ("yes", "no"), "metrics": ("mae",)}, "labels: expected numbers"),
        ({"metrics": ("accuracy",)}, "metrics: expected rouge1, rougeL"),
        ({"metrics": ("rougeL", "rouge1")}, "metrics: expected rouge1, rougeL"),
        ({"max_new_tokens": -1}, "max_new_tokens: expected a whole number"),
        ({"max_new_tokens": True}, "max_new_tokens: expected a whole number"),
        ({"epochs": 1.5}, "epochs: expected a whole number"),
    ],
)
def test_what_is_no_task_is_refused_with_task_and_field(change, told):
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        Task(**REPLIES | change)
    if "name" not in change:
        assert "'replies'" in str(caught.value)
    with pytest.raises(DataError, match=r"task\.json: "):
        Task.from_json(json.loads(json.dumps(REPLIES | change)))


plain = st.text("abc :.\n", max_size=6)


@settings(max_examples=60)
@given(plain, plain, st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True), st.booleans())
def test_a_task_survives_json_and_its_inputs_are_taken_apart_again(before, after, fields, has_labels):
    task = Task("own", before + "{text}" + after, tuple(fields), labels=("yes", "no") if has_labels else ())
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    assert parse_input(task, build_input(task, text="x {y} z")) == {"text": "x {y} z"}


def test_lamps_tasks_survive_json():
    for task in TASKS.values():
        assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "expected an object"),
        ({"name": "a", "template": "{b}"}, 'expected a task\'s "fields"'),
        (REPLIES | {"colour": "red"}, "found colour"),
    ],
)
def test_json_that_is_no_task_is_refused(value, told):
    with pytest.raises(DataError, match=told) as caught:
        Task.from_json(value, "here/task.json")
    assert str(caught.value).startswith("here/task.json: ")


def test_a_task_is_found_as_itself_as_json_and_in_its_folder(tmp_path):
    task = Task(**REPLIES)
    assert get_task(task) is task and get_task(task.to_json()) == task
    with pytest.raises(InputError, match=r"unknown task 'replies': expected one of LaMP-1.*or the one in a task.json"):
        get_task("replies", tmp_path)
    (tmp_path / "task.json").write_text(json.dumps(REPLIES))
    assert get_task("replies", tmp_path) == task
    assert get_task("LaMP_4", tmp_path) is TASKS["LaMP-4"]
    with pytest.raises(InputError, match=r"unknown task 'mails': expected one of LaMP-1, .*LaMP-7, replies"):
        get_task("mails", tmp_path)
    (tmp_path / "task.json").write_text("{}")
    with pytest.raises(DataError, match=r"task\.json: expected a task's \"name\""):
        get_task("LaMP-4", tmp_path)


def test_items_stand_inside_the_input_where_the_task_says_so():
    task = Task("cite", 'By the author of "{title}": {what}', ("title",), query_slot="title", items_inside=True)
    text = build_input(task, title="A", what="B?")
    assert prompt_as_lamp(task, [{"title": "C"}], text) == 'By the author of "A", and title: "C": B?'
