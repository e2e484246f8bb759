"""The ranking behind retrieved items."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.baselines import rank_by_words
from pplug.curriculum import pick_items
from pplug.tasks import TASKS, build_input

words = st.lists(st.sampled_from(["tax", "cup", "film", "the"]), max_size=5).map(" ".join)
texts = st.one_of(words, st.text(max_size=10))


def test_more_shared_words_rank_higher():
    said = ["the city voted", "a film about the tax", "the tax plan of the city"]
    assert rank_by_words("the tax plan of the city council", said) == [2, 0, 1]


def test_a_rare_shared_word_counts_more_than_a_frequent_one():
    assert rank_by_words("the zebra", ["the cup", "the film", "a zebra", "the coach"])[0] == 2


def test_case_does_not_matter_and_punctuation_is_part_of_a_word():
    assert rank_by_words("TAX", ["cup", "tax", "film"])[0] == 1
    assert rank_by_words("c++", ["c", "c++", "c--"])[0] == 1


def test_ties_keep_the_later_text_first():
    assert rank_by_words("tax", ["cup", "tax", "film", "tax"]) == [3, 1, 2, 0]
    assert rank_by_words("nothing shared", ["a b", "c d", "e f"]) == [2, 1, 0]


@pytest.mark.parametrize("query", ["tax", ""])
def test_an_empty_history_has_no_ranking(query):
    assert rank_by_words(query, []) == []


@pytest.mark.parametrize("query", ["tax", "", " \n"])
def test_texts_without_a_word_are_ties(query):
    assert rank_by_words(query, ["", " ", "\t"]) == [2, 1, 0]


@settings(max_examples=60)
@given(texts, st.lists(texts, max_size=6))
def test_every_text_is_ranked_once_and_a_copy_of_the_query_first(query, said):
    assert sorted(rank_by_words(query, said)) == list(range(len(said)))
    if query.strip():
        assert rank_by_words(query, [*said, query])[0] == len(said), "the later of several copies"


def test_picked_items_stand_with_the_most_similar_next_to_the_input():
    task = TASKS["LaMP-4"]
    items = [{"text": text, "title": "T"} for text in ("the tax plan", "a late cup", "the tax", "a film")]
    asked = build_input(task, article="the tax plan of the city")
    assert pick_items(task, asked, items, 2) == [items[2], items[0]]
    assert pick_items(task, asked, items, 1) == [items[0]]
    assert pick_items(task, asked, items[:1], 4) == items[:1] and pick_items(task, asked, [], 4) == []


def test_the_template_does_not_take_part_in_the_ranking():
    task = TASKS["LaMP-4"]
    items = [{"text": "generate a headline for the following", "title": "T"}, {"text": "rain", "title": "T"}]
    assert pick_items(task, build_input(task, article="rain"), items, 1) == [items[1]]
