"""Templates, texts, labels and metrics of the six tasks, typed out here from LaMP and the paper."""

import json
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pplug.base.errors import DataError, InputError
from pplug.data.tasks import (
    LOWER_IS_BETTER,
    TASKS,
    Task,
    build_input,
    describe_prompt,
    fixed_parts,
    get_task,
    history_text,
    parse_input,
    prompt_as_lamp,
    prompt_with_items,
    prompt_with_persona,
    query_text,
)

TEMPLATES = {
    "LaMP-1": 'For an author who has written the paper with the title "{title}", which reference is related? '
    'Just answer with [1] or [2] without explanation. [1]: "{reference1}" [2]: "{reference2}"',
    "LaMP-2": "Which tag does this movie relate to among the following tags? Just answer with the tag name "
    "without further explanation. tags: [sci-fi, based on a book, comedy, action, twist ending, dystopia, dark "
    "comedy, classic, psychology, fantasy, romance, thought-provoking, social commentary, violence, true story] "
    "description: {movie}",
    "LaMP-3": "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 "
    "without further explanation. review: {review}",
    "LaMP-4": "Generate a headline for the following article: {article}",
    "LaMP-5": "Generate a title for the following abstract of a paper: {abstract}",
    "LaMP-7": "Paraphrase the following tweet without any explanation before or after it: {tweet}",
}
SLOTS = {
    "LaMP-1": ["title", "reference1", "reference2"],
    "LaMP-2": ["movie"],
    "LaMP-3": ["review"],
    "LaMP-4": ["article"],
    "LaMP-5": ["abstract"],
    "LaMP-7": ["tweet"],
}
ONE_SLOT = [name for name in SLOTS if name != "LaMP-1"]
ITEMS = {
    "LaMP-1": {"title": "A title", "abstract": "An abstract."},
    "LaMP-2": {"description": "A film.", "tag": "classic"},
    "LaMP-3": {"text": "Not bad.", "score": "4"},
    "LaMP-4": {"text": "It rained.", "title": "Rain!"},
    "LaMP-5": {"title": "A title", "abstract": "An abstract."},
    "LaMP-7": {"text": "omg rain"},
}
NASTY = [
    "{",
    "}",
    "{title}",
    "{0}",
    "{{movie}}",
    '"',
    '""',
    '" [2]: "',
    "\n",
    "\r\n",
    "\\",
    "\\1",
    "%s",
    "é",
    "雨",
    "🌧️",
    " ",
]
texts = st.lists(st.one_of(st.text(max_size=8), st.sampled_from(NASTY)), max_size=4).map("".join)
names = st.sampled_from(list(TASKS))


def slots_of(name: str):
    return st.fixed_dictionaries(dict.fromkeys(SLOTS[name], texts))


def test_the_six_tasks_and_no_other():
    assert list(TASKS) == list(TEMPLATES) and all(task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_is_the_papers_word_for_word(name):
    assert TASKS[name].template == TEMPLATES[name]


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_has_these_slots(name):
    assert re.findall(r"\{(.*?)\}", TASKS[name].template) == SLOTS[name]
    assert TASKS[name].query_slot == SLOTS[name][0], "LaMP-1's query is the paper's title without the references"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("LaMP-1", {"title", "abstract"}),
        ("LaMP-2", {"description", "tag"}),
        ("LaMP-3", {"text", "score"}),
        ("LaMP-4", {"text", "title"}),
        ("LaMP-5", {"title", "abstract"}),
        ("LaMP-7", {"text"}),
    ],
)
def test_profile_fields_are_lamps(name, fields):
    assert set(TASKS[name].fields) == fields and len(TASKS[name].fields) == len(fields)


def test_labels_are_those_the_template_names():
    tags = TEMPLATES["LaMP-2"].split("tags: [")[1].split("]")[0].split(", ")
    assert len(tags) == 15
    legal = {"LaMP-1": ("[1]", "[2]"), "LaMP-2": tuple(tags), "LaMP-3": ("1", "2", "3", "4", "5")}
    assert {name: task.labels for name, task in TASKS.items() if task.labels} == legal


def test_metrics_are_lamps_and_the_errors_are_lower_is_better():
    assert {name: task.metrics for name, task in TASKS.items()} == {
        "LaMP-1": ("accuracy",),
        "LaMP-2": ("accuracy", "f1"),
        "LaMP-3": ("mae", "rmse"),
        "LaMP-4": ("rouge1", "rougeL"),
        "LaMP-5": ("rouge1", "rougeL"),
        "LaMP-7": ("rouge1", "rougeL"),
    }
    assert set(LOWER_IS_BETTER) == {"mae", "rmse"}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_found_by_either_spelling(name):
    assert get_task(name) is get_task(name.replace("-", "_")) is TASKS[name]


@pytest.mark.parametrize("name", ["LaMP-6", "LaMP_2N", "lamp-4", "", 4])
def test_an_unknown_task_is_an_error_that_lists_the_six(name):
    with pytest.raises(ValueError, match="LaMP-1, LaMP-2, LaMP-3, LaMP-4, LaMP-5, LaMP-7") as caught:
        get_task(name)
    assert repr(name) in str(caught.value)


# Inputs


@settings(max_examples=150)
@given(st.data())
def test_one_slot_round_trip_whatever_the_text(data):
    name = data.draw(st.sampled_from(ONE_SLOT))
    slots = data.draw(slots_of(name))
    text = build_input(TASKS[name], **slots)
    assert text == TEMPLATES[name].replace("{" + SLOTS[name][0] + "}", slots[SLOTS[name][0]])
    assert parse_input(TASKS[name], text) == slots
    assert query_text(TASKS[name], text) == slots[SLOTS[name][0]]
    assert query_text(TASKS[name], text, full=True) == text


@settings(max_examples=150)
@given(slots_of("LaMP-1"))
def test_three_slot_round_trip_where_no_slot_holds_a_piece_of_the_template(slots):
    task = TASKS["LaMP-1"]
    text = build_input(task, **slots)
    for piece in re.split(r"\{\w+\}", TEMPLATES["LaMP-1"])[1:3]:
        assume(len(re.findall(f"(?={re.escape(piece)})", text)) == 1)  # else nobody could tell where a slot ends
    assert parse_input(task, text) == slots
    assert query_text(task, text) == slots["title"]


@given(st.data())
def test_taking_apart_and_filling_in_gives_the_same_input(data):
    task = TASKS[data.draw(names)]
    text = build_input(task, **data.draw(slots_of(task.name)))
    assert build_input(task, **parse_input(task, text)) == text


def test_quotes_and_brackets_within_a_title_stay_in_it():
    slots = {"title": 'On "quotes" [1] and {braces}', "reference1": '"A"', "reference2": 'B [2]: "C"'}
    assert parse_input(TASKS["LaMP-1"], build_input(TASKS["LaMP-1"], **slots)) == slots


@pytest.mark.parametrize("name", TASKS)
def test_an_input_that_does_not_follow_the_template_is_an_error_that_shows_both(name):
    task = TASKS[name]
    text = build_input(task, **dict.fromkeys(SLOTS[name], "word"))
    for wrong in (text[1:], " " + text, text.swapcase(), "", "word"):
        with pytest.raises(ValueError, match=re.escape(name)) as caught:
            parse_input(task, wrong)
        assert repr(task.template) in str(caught.value) and repr(wrong[:80]) in str(caught.value)
    others = [task for other, task in TASKS.items() if other != name]
    for other in others:  # each input belongs to one task
        with pytest.raises(ValueError, match="does not follow"):
            parse_input(other, text)


def test_an_input_with_more_behind_its_template_is_an_error():
    text = build_input(TASKS["LaMP-1"], title="a", reference1="b", reference2="c")
    with pytest.raises(ValueError, match="does not follow"):
        parse_input(TASKS["LaMP-1"], text + " and more")


# History


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LaMP-1", "A title An abstract."),
        ("LaMP-2", "classic: A film."),
        ("LaMP-3", "score 4, 4 stars, 4/5: Not bad."),
        ("LaMP-4", "It rained. Rain!"),
        ("LaMP-5", "A title An abstract."),
        ("LaMP-7", "omg rain"),
    ],
)
def test_history_text_with_label(name, text):
    assert history_text(TASKS[name], ITEMS[name] | {"id": "7", "date": "2020-01-01"}) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LaMP-1", "A title An abstract."),
        ("LaMP-2", "A film."),
        ("LaMP-3", "Not bad."),
        ("LaMP-4", "It rained. Rain!"),
        ("LaMP-5", "A title An abstract."),
        ("LaMP-7", "omg rain"),
    ],
)
def test_history_text_without_label_is_the_releases(name, text):
    assert history_text(TASKS[name], ITEMS[name], with_label=False) == text


@given(texts)
def test_history_text_keeps_every_character(text):
    assert history_text(TASKS["LaMP-3"], {"text": text, "score": 2}) == "score 2, 2 stars, 2/5: " + text
    assert history_text(TASKS["LaMP-2"], {"description": text, "tag": "{tag}"}, with_label=False) == text


@pytest.mark.parametrize("name", TASKS)
def test_only_items_that_hold_a_question_can_be_held_out(name):
    task = TASKS[name]
    if name in ("LaMP-1", "LaMP-7"):
        assert task.held_out is None
    else:
        assert set(task.held_out) == set(task.fields), "the one field asks, the other answers"
        # What asks is what the template calls it, and what answers is what `outputs.json` holds.
        assert task.held_out[1] == {"LaMP-2": "tag", "LaMP-3": "score", "LaMP-4": "title", "LaMP-5": "title"}[name]


# Prompts


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("LaMP-1", 'the author wrote "A title", and the author wrote "A title". '),
        ("LaMP-2", 'the tag for "A film." is "classic", and the tag for "A film." is "classic". '),
        ("LaMP-3", 'the score for "Not bad." is 4, and the score for "Not bad." is 4. '),
        ("LaMP-4", 'the headline for "It rained." is "Rain!", and the headline for "It rained." is "Rain!". '),
        ("LaMP-5", 'the title for "An abstract." is "A title", and the title for "An abstract." is "A title". '),
        ("LaMP-7", 'the user wrote "omg rain", and the user wrote "omg rain". '),
    ],
)
def test_prompt_with_two_items(name, start):
    assert prompt_with_items(TASKS[name], [ITEMS[name]] * 2, "The input") == start + "The input"
    assert describe_prompt(TASKS[name], [ITEMS[name]] * 2) == "describe the user: " + start.removesuffix(". ")


@given(texts, st.lists(texts, max_size=4))
def test_prompt_ends_with_the_untouched_input_and_names_the_items_in_order(text, said):
    prompt = prompt_with_items(TASKS["LaMP-7"], [{"text": t} for t in said], text)
    assert prompt.endswith(text)
    assert prompt.removesuffix(text) == ", and ".join(f'the user wrote "{t}"' for t in said) + ". " * bool(said)


def test_no_items_no_change_and_a_persona_goes_first():
    assert prompt_with_items(TASKS["LaMP-4"], [], "The input") == "The input"
    assert prompt_with_persona("This user shouts.", "The input") == "This user shouts. The input"


def test_fixed_parts_cover_every_template_longest_first():
    parts = fixed_parts()
    lengths = [len(part) for part in parts]
    assert lengths == sorted(lengths, reverse=True) and len(set(parts)) == len(parts)
    for template in TEMPLATES.values():
        assert template.split("{")[0].strip() in parts


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
