"""Templates, texts, labels and metrics of the six tasks, typed out here from LaMP and the paper."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pplug.data.tasks import (
    LOWER_IS_BETTER,
    TASKS,
    build_input,
    describe_prompt,
    fixed_parts,
    get_task,
    history_text,
    parse_input,
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
