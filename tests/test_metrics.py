"""Every rule of LaMP's metrics, with values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from pplug.data import metrics
from pplug.data.metrics import corpus_scores, example_scores, label_index, score_value
from pplug.data.tasks import MOVIE_TAGS, TASKS

CITE, TAG, RATE, HEAD = (TASKS[name] for name in ("LaMP-1", "LaMP-2", "LaMP-3", "LaMP-4"))
LABELLED = [CITE, TAG, RATE]


def rouge(prediction: str, gold: str) -> tuple[float, float]:
    scores = corpus_scores(HEAD, [prediction], [gold])
    return scores["rouge1"], scores["rougeL"]


# Labels


@pytest.mark.parametrize("task", LABELLED, ids=lambda task: task.name)
def test_labels_are_read_after_stripping_white_space(task):
    for number, label in enumerate(task.labels):
        assert label_index(task, label) == label_index(task, f" \n{label}\t") == number


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (CITE, "1"),
        (CITE, "[1"),
        (CITE, "[3]"),
        (CITE, "[1] because"),
        (TAG, "Comedy"),
        (TAG, "comedy."),
        (TAG, "dark  comedy"),
        (TAG, "sci fi"),
        (TAG, "comedy, action"),
        (TAG, ""),
        (RATE, "5 stars"),
    ],
)
def test_nothing_but_the_exact_label_is_read(task, text):
    assert label_index(task, text) == -1


def test_accuracy_counts_exact_labels_only():
    golds = ["[1]", "[2]", "[1]", "[2]"]
    predictions = ["[1]", " [2]\n", "1", "[1]"]
    assert example_scores(CITE, predictions, golds)["accuracy"].tolist() == [1, 1, 0, 0]
    assert corpus_scores(CITE, predictions, golds) == {"accuracy": 0.5}


def test_macro_f1_is_over_all_fifteen_labels_the_absent_ones_counting_zero():
    assert corpus_scores(TAG, ["comedy"] * 3, ["comedy"] * 3)["f1"] == pytest.approx(1 / 15)
    assert corpus_scores(TAG, list(MOVIE_TAGS), list(MOVIE_TAGS)) == {"accuracy": 1, "f1": 1}


def test_macro_f1_by_hand():
    golds = ["comedy", "comedy", "action", "action"]
    predictions = ["comedy", "action", "action", "action"]  # comedy: P 1, R 1/2; action: P 2/3, R 1
    assert corpus_scores(TAG, predictions, golds)["f1"] == pytest.approx((2 / 3 + 4 / 5) / 15)
    assert corpus_scores(TAG, predictions, golds)["accuracy"] == 0.75


def test_an_unreadable_tag_costs_recall_and_nobodys_precision():
    assert corpus_scores(TAG, ["comedy", "no idea"], ["comedy", "comedy"])["f1"] == pytest.approx(2 / 3 / 15)


def test_a_tag_predicted_but_never_gold_costs_the_others_nothing():
    golds, predictions = ["comedy", "comedy", "action"], ["comedy", "comedy", "fantasy"]
    assert corpus_scores(TAG, predictions, golds)["f1"] == pytest.approx(1 / 15)


# Ratings


@pytest.mark.parametrize(("text", "value"), [("4", 4), (" 4\n", 4), ("4.5", 4.5), ("-1", -1), ("7", 7), ("4e0", 4)])
def test_a_score_is_read_as_a_number(text, value):
    assert score_value(text, "1") == value


@pytest.mark.parametrize("text", ["", "four", "4 stars", "4/5", "nan", "inf", "-inf", "NaN", "1e999"])
@pytest.mark.parametrize(("gold", "farther"), [("1", 5), ("2", 5), ("3", 5), ("4", 1), ("5", 1)])
def test_an_unreadable_score_is_the_farther_of_one_and_five(text, gold, farther):
    assert score_value(text, gold) == farther
    assert example_scores(RATE, [text], [gold])["mae"].tolist() == [abs(farther - int(gold))]


@given(st.text(), st.sampled_from(RATE.labels))
def test_any_text_gives_a_finite_score(text, gold):
    assert math.isfinite(score_value(text, gold))


def test_mae_and_rmse_by_hand():
    golds, predictions = ["1", "5", "3", "2"], ["2", "5", "1", "none"]  # errors 1, 0, -2, 3
    assert example_scores(RATE, predictions, golds)["mae"].tolist() == [1, 0, 2, 3]
    assert corpus_scores(RATE, predictions, golds) == pytest.approx({"mae": 6 / 4, "rmse": math.sqrt(14 / 4)})


# ROUGE


def test_rouge_by_hand():
    # 2 of the prediction's 3 words are among the gold's 6: P 2/3, R 2/6, F 4/9
    assert rouge("the cat ran", "the cat sat on the mat") == pytest.approx((4 / 9, 4 / 9))


def test_rouge_l_heeds_the_order_and_rouge_1_does_not():
    assert rouge("mat the cat", "the cat mat") == pytest.approx((1, 2 / 3))


def test_rouge_counts_a_repeated_word_as_often_as_the_gold_has_it():
    assert rouge("the the the the", "the cat")[0] == pytest.approx(2 * (1 / 4) * (1 / 2) / (1 / 4 + 1 / 2))


def test_rouge_does_not_stem():
    assert rouge("running", "run") == rouge("titles", "title") == (0, 0)


def test_rouge_ignores_case_and_punctuation():
    assert rouge("  Why, THE cat?\n", "why the cat") == (1, 1)


@pytest.mark.parametrize("prediction", ["", " ", "!?"])
def test_rouge_of_nothing_is_zero(prediction):
    assert rouge(prediction, "a headline") == (0, 0)


@settings(max_examples=40)
@given(st.lists(st.sampled_from("abcd"), min_size=1), st.lists(st.sampled_from("abcd"), min_size=1))
def test_rouge_lies_between_zero_and_one_is_symmetric_and_one_for_itself(first, second):
    first, second = " ".join(first), " ".join(second)
    one, longest = rouge(first, second)
    assert 0 <= longest <= one <= 1
    assert (one, longest) == pytest.approx(rouge(second, first))
    assert rouge(first, first) == (1, 1)


# ROUGE of other languages


@pytest.mark.fault(31)
@pytest.mark.parametrize("gold", ["Мир и труд", "東京の朝", "हिन्दी में", "Αθήνα"])
def test_a_perfect_answer_scores_one_in_any_script(gold):
    assert rouge(gold, gold) == rouge(f"  {gold.upper()}! ", gold) == (1, 1)


@pytest.mark.fault(31)
@pytest.mark.parametrize(("prediction", "gold"), [("Bär", "Bör"), ("peché", "pechу")])
def test_words_that_differ_in_a_letter_beyond_ascii_differ(prediction, gold):
    assert rouge(prediction, gold)[0] < 1 and rouge(gold, prediction)[0] < 1


def test_the_tokenizer_has_a_name_for_the_record():
    assert metrics.tokenizer_name(HEAD, ["a headline", "don’t — stop"]) == metrics.LAMP
    assert metrics.tokenizer_name(HEAD, ["a headline", "Bär"]) == metrics.UNICODE
    assert metrics.tokenizer_name(TAG, ["comedy"]) is None


@given(st.text(), st.text(st.characters(max_codepoint=127)))
def test_with_golds_in_english_the_scores_are_lamps(prediction, gold):
    score = RougeScorer(["rouge1", "rougeL"]).score(gold.strip(), prediction.strip())
    assert rouge(prediction, gold) == (score["rouge1"].fmeasure, score["rougeL"].fmeasure)


# All


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_metrics_are_the_tasks_in_its_order(task):
    texts = list(task.labels[:2]) or ["a headline", "another one"]
    scores = corpus_scores(task, texts, texts)
    assert tuple(scores) == task.metrics and all(type(value) is float for value in scores.values())
    per_example = example_scores(task, texts, texts)
    assert task.metrics[0] in per_example and set(per_example) <= set(task.metrics)
    assert all(values.shape == (2,) and values.dtype == np.float64 for values in per_example.values())
    perfect = {"mae": 0.0, "rmse": 0.0, "f1": 2 / 15}
    assert scores == pytest.approx({name: perfect.get(name, 1.0) for name in task.metrics})


@settings(max_examples=40)
@given(st.sampled_from(list(TASKS.values())), st.data())
def test_a_mean_over_examples_is_the_score_and_their_order_does_not_matter(task, data):
    said = st.sampled_from([*task.labels, "one two", "two one three", "junk"])
    gold = st.sampled_from(task.labels or ("one two", "three"))
    pairs = data.draw(st.lists(st.tuples(said, gold), min_size=1, max_size=8))
    whole = corpus_scores(task, *map(list, zip(*pairs, strict=True)))
    for name, values in example_scores(task, *map(list, zip(*pairs, strict=True))).items():
        assert values.mean() == pytest.approx(whole[name])
    assert corpus_scores(task, *map(list, zip(*data.draw(st.permutations(pairs)), strict=True))) == pytest.approx(whole)


@pytest.mark.parametrize("score", [example_scores, corpus_scores])
@pytest.mark.parametrize(("predictions", "golds"), [([], []), (["1"], []), (["1"], ["1", "2"])])
def test_unequal_or_no_examples_are_an_error(score, predictions, golds):
    with pytest.raises(ValueError, match=f"{len(predictions)} and {len(golds)}"):
        score(RATE, predictions, golds)
