"""Which items a prompt carries, and how they fit."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from pplug.data.loading import load
from pplug.data.retrieval import RETRIEVERS, rank_by_bm25, rank_by_words, retrieve
from pplug.data.tasks import TASKS, build_input, prompt_as_lamp, prompt_with_items
from pplug.method.batches import Example
from pplug.method.budget import prompt
from pplug.offline.curriculum import pick_items
from pplug.offline.simulate import simulate

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


# BM25

RANKERS = [partial(rank_by_bm25), partial(rank_by_bm25, as_lamp=True)]


@pytest.mark.parametrize("rank", RANKERS)
def test_bm25_ranks_the_text_with_the_asked_words_first(rank):
    said = ["the city voted today", "a film about tea", "the tax plan passed", "a tax on tea and film"]
    assert rank("tax plan", said)[0] == 2


@pytest.mark.parametrize("rank", RANKERS)
@pytest.mark.parametrize("said", [[], ["tax"], ["the"], ["the of", "of the"], ["", " "], ["", "tax"]])
def test_bm25_ranks_histories_of_one_item_none_or_stop_words(rank, said):
    for query in ("tax", "the of", "", "unknown"):
        assert sorted(rank(query, said)) == list(range(len(said)))


@settings(max_examples=60)
@given(texts, st.lists(texts, max_size=6), st.booleans())
def test_bm25_ranks_every_text_once(query, said, as_lamp):
    assert sorted(rank_by_bm25(query, said, as_lamp)) == list(range(len(said)))


def test_bm25_counts_a_word_that_most_items_hold_for_them_and_okapis_may_count_it_against_them():
    said = ["tax tax tax", "tax cup film tea rain"]
    assert rank_by_bm25("tax", said) == [0, 1]
    assert BM25Okapi([text.split() for text in said]).get_scores(["tax"]).max() < 0


def test_bm25_as_lamp_is_rank_bm25s_order():
    said = ["the tax plan", "A tax on tea", "tea and rain in the city", "rain"]
    theirs = BM25Okapi([text.split() for text in said]).get_top_n(["the", "tea", "plan"], said, n=4)
    assert [said[i] for i in rank_by_bm25("the tea plan", said, as_lamp=True)] == theirs


# Whole questions


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    data = load(simulate(tmp_path_factory.mktemp("users"), "LaMP-4", 6, seed=3), "LaMP-4")
    examples = data.splits["test"].to_list()
    ready = [tiny_example(len(example["profile"]), i) for i, example in enumerate(examples)]
    return data, examples, ready


def tiny_example(n: int, seed: int) -> Example:
    return Example([1], [], tiny.vectors(n, seed), tiny.vectors(1, seed + 99)[0], "")


@pytest.mark.parametrize("how", [*RETRIEVERS, "BM25 as LaMP"])
def test_every_retriever_ranks_each_users_own_items(asked, how):
    data, examples, ready = asked
    for example, rows in zip(examples, retrieve(how, data, examples, ready), strict=True):
        assert sorted(rows) == sorted(example["profile"])


def test_recency_is_the_newest_first_and_dense_the_nearest_first(asked):
    data, examples, ready = asked
    assert next(retrieve("recency", data, examples, ready)) == examples[0]["profile"][::-1]
    nearest = examples[0]["profile"][int(np.argmax(ready[0].history.astype(float) @ ready[0].query.astype(float)))]
    assert next(retrieve("dense", data, examples, ready))[0] == nearest


@pytest.mark.fault(5)
@pytest.mark.parametrize("newest", [1, 2, 5])
def test_where_only_the_newest_items_have_vectors_dense_ranks_those(asked, newest):
    """`PlugConfig.max_history` prepares a part of the profile: places in it are no places in the whole."""
    data, examples, ready = asked
    cut = [replace(e, history=e.history[len(e.history) - min(newest, len(e.history)) :]) for e in ready]
    for example, whole, rows in zip(examples, ready, retrieve("dense", data, examples, cut), strict=True):
        kept = example["profile"][-newest:]
        likes = dict(
            zip(example["profile"], whole.history.astype(np.float32) @ whole.query.astype(np.float32), strict=True)
        )
        assert sorted(rows) == sorted(kept) and rows == sorted(kept, key=lambda row: -likes[row])


def test_random_depends_on_the_seed_and_the_question_alone(asked):
    data, examples, ready = asked
    first = list(retrieve("random", data, examples, ready, seed=1))
    assert list(retrieve("random", data, examples[::-1], ready[::-1], seed=1))[::-1] == first
    assert list(retrieve("random", data, examples, ready, seed=2)) != first


def test_an_unknown_retriever_is_named(asked):
    with pytest.raises(ValueError, match=r"unknown retriever 'bm52'.*random, recency, BM25, dense"):
        next(retrieve("bm52", *asked))


# Prompts within their tokens


@settings(max_examples=60)
@given(
    st.lists(st.text("abc ", max_size=60), max_size=4),
    st.integers(20, 120),
    st.booleans(),
    st.sampled_from(list(TASKS)),
)
def test_a_prompt_keeps_its_tokens_and_never_cuts_the_input(t5, said, most, is_standin, name):
    task, tokenizer = TASKS[name], t5[1]
    values = dict.fromkeys(
        ("title", "reference1", "reference2", "movie", "review", "article", "abstract", "tweet"), "one"
    )
    text = build_input(task, **{slot: value for slot, value in values.items() if "{" + slot + "}" in task.template})
    items = [dict.fromkeys(task.fields, words) for words in said]
    told = prompt(task, items, text, tokenizer, most, is_standin)
    rest = text.split('"one"', 1)[-1] if name == "LaMP-1" and not is_standin else text
    assert told.endswith(rest)
    assert told == text or len(tokenizer(told)["input_ids"]) <= most


def test_items_that_fit_are_whole_and_the_best_is_cut_last_of_all(t5):
    task, tokenizer = TASKS["LaMP-4"], t5[1]
    items = [{"text": "one two " * 20, "title": "three"}, {"text": "four", "title": "one"}]
    text = build_input(task, article="two")
    whole = prompt_with_items(task, items, text)
    size = len(tokenizer(whole)["input_ids"])
    assert prompt(task, items, text, tokenizer, size) == whole
    cut = prompt(task, items, text, tokenizer, size - 5)
    assert '"four" is "one"' in cut and '" is "three"' in cut and len(cut) < len(whole)
    assert prompt(task, items, text, tokenizer, len(tokenizer(text)["input_ids"])) == text


def test_lamps_own_words():
    items = [{"title": "T1", "abstract": "A1", "text": "X1", "score": "4", "description": "D1", "tag": "action"}] * 2
    title = build_input(TASKS["LaMP-1"], title="P", reference1="a", reference2="b")
    assert 'the title "P", and "T1", and "T1", which reference' in prompt_as_lamp(TASKS["LaMP-1"], items, title)
    assert prompt_as_lamp(TASKS["LaMP-3"], items[:1], "?") == '4 is the score for "X1". ?'
    assert prompt_as_lamp(TASKS["LaMP-7"], items[:1], "?").startswith('"X1" are written by a person. Following')
    assert prompt_as_lamp(TASKS["LaMP-4"], [], "?") == "?"
