"""Habits of writing are counted as they are named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pplug.data.style import HABITS, SPREADS, scaled_style, style, style_distance, style_in_words


def habit(text: str, name: str) -> float:
    return style([text])[0, HABITS.index(name)]


@pytest.mark.parametrize(
    ("name", "has", "has_not"),
    [
        ("begins with a capital", "Yes", "yes"),
        ("ends with a mark", "yes!", "yes"),
        ("small i for I", "so i said", "So I said it"),
        ("says I", "So I said", "so i said it is"),
        ("laughs", "hahaha no", "a hat"),
        ("laughs", "LOL", "lollipops"),
        ("emoji or smiley", "fine :)", "at 10:30"),
        ("emoji or smiley", "fine 🙂", "naïve"),
    ],
)
def test_a_habit_is_there_or_not(name, has, has_not):
    assert (habit(has, name), habit(has_not, name)) == (1, 0)


def test_counts_are_shares_of_what_is_written():
    text = "Well, no, 12!"
    assert habit(text, "words") == 3 and habit(text, "letters a word") == pytest.approx((5 + 3 + 3) / 3)
    assert habit(text, "commas") == 2 / 13 and habit(text, "digits") == 2 / 13
    assert habit(text, "capital letters") == habit(text, "exclamation marks") == 1 / 13
    assert not style([""]).any() and style([]).shape == (0, len(HABITS))


@given(st.text())
def test_any_text_has_finite_habits(text):
    assert np.isfinite(style([text])).all()


def test_the_distance_is_in_spreads_of_the_crowd():
    spread = np.ones(len(HABITS))
    same, other = style_distance(["Hello there.", "Hello there."], ["Hello there.", "Hello there. Yes."], spread)
    assert same == 0 < other
    assert style_distance(["a b"], ["a"], spread * 2)[0] == style_distance(["a b"], ["a"], spread)[0] / 2
    only_words = np.zeros(len(HABITS))
    only_words[0] = 2.0
    assert style_distance(["a b c"], ["a"], only_words)[0] == 1


def test_scaled_habits_are_the_habits_in_other_units():
    texts = ["Well, I am fine.", "lol ok"]
    np.testing.assert_allclose(scaled_style(texts) * np.array(SPREADS), style(texts), rtol=1e-5)
    assert len(SPREADS) == len(HABITS)


def test_a_sentence_says_what_it_can_of_the_habits():
    neat, careless = ["I am well, thanks.", "How are you today?"], ["fine", "i guess so", "ok"]
    assert "about 4 words a message, mostly with a capital letter at the beginning and with a mark" in style_in_words(
        neat
    )
    assert "about 2 words a message, mostly without a capital letter at the beginning and without" in style_in_words(
        careless
    )
    assert style_in_words([]) == ""
