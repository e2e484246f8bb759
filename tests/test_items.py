"""History items are cleaned by one rule, whether a file holds them or a user is served."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pplug.base.errors import DataError, InputError
from pplug.data.items import clean_items
from pplug.data.loading import load
from pplug.data.tasks import TASKS, build_input

TASK = TASKS["LaMP-3"]
FIELD = st.none() | st.text(st.characters(codec="utf-8")) | st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6)


@given(st.lists(st.fixed_dictionaries({"text": FIELD, "score": FIELD, "id": st.text(), "more": FIELD})))
def test_an_item_has_the_tasks_fields_as_text_in_the_order_given(items):
    for cleaned, item in zip(clean_items(TASK, items, "history"), items, strict=True):
        assert cleaned == {name: "" if item[name] is None else str(item[name]) for name in ("text", "score")}
    assert clean_items(TASK, clean_items(TASK, items, "x"), "x") == clean_items(TASK, items, "x")


@given(st.lists(st.fixed_dictionaries({"text": FIELD, "score": FIELD})))
def test_the_loader_keeps_what_a_served_user_has(tmp_path_factory, items):
    folder = tmp_path_factory.mktemp("in")
    asked = {"id": "1", "input": build_input(TASK, review="fine"), "profile": items}
    (folder / "test_questions.json").write_text(json.dumps([asked]))
    data = load(folder, "LaMP-3", folder)
    assert [data.items[row] for row in data.splits["test"][0]["profile"]] == clean_items(TASK, items, "history")


WRONG = [
    ([{"text": "a"}], 'history: expected the field "score" in profile item 0'),
    ([{"text": "a", "score": 1}, "b"], "history: expected an object as profile item 1"),
    ([{"text": "a", "score": True}], 'history: expected text or a number in the field "score" of profile item 0'),
    ([{"text": ["a"], "score": 1}], 'history: expected text or a number in the field "text" of profile item 0'),
    ([{"text": "a", "score": float("nan")}], 'history: expected text or a number in the field "score"'),
    ("text", "history: expected a list of items, found text"),
    ({"text": "a", "score": 1}, "history: expected a list of items, found dict"),
    (None, "history: expected a list of items, found NoneType None"),
]


@pytest.mark.parametrize(("items", "told"), WRONG)
def test_what_is_no_item_is_refused_with_item_and_field(items, told):
    with pytest.raises(DataError) as caught:
        clean_items(TASK, items, "history")
    assert str(caught.value).startswith(told) and issubclass(DataError, InputError)
