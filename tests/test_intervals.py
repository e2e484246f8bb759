"""Intervals that cover what they should, and paired tests with the right sign."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.data.intervals import Interval, bootstrap_corpus, bootstrap_mean, bootstrap_ratio, gain, paired_test
from pplug.data.metrics import corpus_scores, example_scores
from pplug.data.tasks import MOVIE_TAGS, TASKS


def users(n: int, mean: float, seed: int = 0) -> np.ndarray:
    """`n` scores that vary between users, around a true mean."""
    return np.random.default_rng(seed).normal(mean, 1.0, n)


# Intervals


def test_the_interval_covers_the_true_mean_in_about_95_percent_of_draws():
    covered = 0
    for draw in range(300):
        interval = bootstrap_mean(users(40, 0.3, draw), resamples=200, seed=draw)
        covered += interval.low <= 0.3 <= interval.high
    assert 0.89 <= covered / 300 <= 0.98


def test_the_interval_is_as_wide_as_theory_says():
    values = users(400, 0)
    interval = bootstrap_mean(values)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert interval.mean == values.mean() and interval.p is None


def test_several_seeds_cover_a_new_training_too():
    """Between-seed differences far above those between users: their mean alone would hide them."""
    shifts = np.array([-1.0, 0.0, 1.0])[:, None]
    values = shifts + users(50, 0)[None] * 0.01
    both, alone = bootstrap_mean(values), bootstrap_mean(values.mean(axis=0))
    assert both.mean == pytest.approx(alone.mean) and alone.high - alone.low < 0.02
    assert both.low < -0.6 and both.high > 0.6


@given(st.floats(-5, 5), st.integers(1, 4), st.integers(1, 9))
@settings(max_examples=20)
def test_the_interval_of_a_constant_has_no_width(value, n_seeds, n_users):
    interval = bootstrap_mean(np.full((n_seeds, n_users), value), resamples=20)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((value,) * 3)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_interval_holds_its_mean_within_the_data(values):
    interval = bootstrap_mean(np.array(values), resamples=50)
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9
    assert bootstrap_mean(np.array(values), resamples=50) == interval, "the same seed, the same interval"


def test_another_seed_resamples_anew():
    assert bootstrap_mean(users(30, 0), seed=1) != bootstrap_mean(users(30, 0), seed=2)


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0, 1, False)]
)
def test_an_interval_excludes_zero_if_it_lies_on_one_side(low, high, excludes):
    assert Interval(0, low, high).excludes_zero == excludes


def labelled(task: str, n: int = 60, right: float = 0.6) -> tuple[list[str], list[str]]:
    rng = random.Random(0)
    golds = [rng.choice(TASKS[task].labels) for _ in range(n)]
    return [gold if rng.random() < right else rng.choice(TASKS[task].labels) for gold in golds], golds


@pytest.mark.parametrize("task", ["LaMP-1", "LaMP-2", "LaMP-3"])
def test_corpus_intervals_bracket_the_score_of_each_metric(task):
    predictions, golds = labelled(task)
    intervals = bootstrap_corpus(TASKS[task], predictions, golds, resamples=100)
    assert tuple(intervals) == TASKS[task].metrics
    for name, value in corpus_scores(TASKS[task], predictions, golds).items():
        assert intervals[name].mean == value
        assert intervals[name].low < value < intervals[name].high


def test_corpus_interval_of_accuracy_is_the_one_of_its_mean():
    predictions, golds = labelled("LaMP-1", 100)
    found = bootstrap_corpus(TASKS["LaMP-1"], predictions, golds, resamples=400)["accuracy"]
    mean = bootstrap_mean(example_scores(TASKS["LaMP-1"], predictions, golds)["accuracy"], 400)
    assert (found.mean, found.low, found.high) == pytest.approx((mean.mean, mean.low, mean.high), abs=0.03)


def test_corpus_intervals_of_rouge():
    golds = ["a b c d", "e f g h", "i j k l"] * 5
    predictions = ["a b c d", "e f x x", "x x x x"] * 5
    intervals = bootstrap_corpus(TASKS["LaMP-4"], predictions, golds, resamples=200)
    assert tuple(intervals) == ("rouge1", "rougeL")
    assert intervals["rouge1"].mean == pytest.approx(0.5)
    assert 0.2 < intervals["rouge1"].low < 0.5 < intervals["rouge1"].high < 0.8


@pytest.mark.parametrize(
    ("task", "golds", "expected"),
    [
        ("LaMP-2", list(MOVIE_TAGS[:1]) * 9, {"accuracy": 1, "f1": 1 / 15}),
        ("LaMP-3", ["1", "5"] * 5, {"mae": 0, "rmse": 0}),
        ("LaMP-7", ["one two"] * 5, {"rouge1": 1, "rougeL": 1}),
    ],
)
def test_perfect_predictions_leave_no_doubt(task, golds, expected):
    intervals = bootstrap_corpus(TASKS[task], golds, golds, resamples=30)
    for name, value in expected.items():
        assert (intervals[name].low, intervals[name].mean, intervals[name].high) == pytest.approx((value,) * 3)


def test_errors_of_one_size_leave_no_doubt_about_it():
    intervals = bootstrap_corpus(TASKS["LaMP-3"], ["3"] * 9, ["1", "5", "5"] * 3, resamples=30)
    for name in ("mae", "rmse"):
        assert (intervals[name].low, intervals[name].mean, intervals[name].high) == pytest.approx((2, 2, 2))


# Paired tests


def test_a_clear_difference_has_its_sign_and_a_small_p():
    baseline = users(60, 0)
    better = paired_test(baseline + users(60, 0.5, 1) * 0.5, baseline)
    worse = paired_test(baseline, baseline + users(60, 0.5, 1) * 0.5)
    assert better.low > 0 and better.excludes_zero and better.p == pytest.approx(1 / 2001, rel=2)
    assert worse.mean == -better.mean and worse.high < 0 and worse.p == better.p


def test_pairing_sees_what_users_differences_hide():
    baseline = users(40, 0) * 10
    found = paired_test(baseline + 0.1, baseline)
    assert found.excludes_zero and (found.low, found.high) == pytest.approx((0.1, 0.1))


def test_no_difference_is_p_one():
    same = paired_test(users(20, 0), users(20, 0))
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1) and not same.excludes_zero


def test_p_is_below_5_percent_in_about_5_percent_of_draws_without_a_difference():
    found = [paired_test(users(25, 0, s), users(25, 0, s + 1000), resamples=199, seed=s).p for s in range(300)]
    assert 0.02 <= sum(p <= 0.05 for p in found) / 300 <= 0.09
    assert 0.4 <= np.mean(found) <= 0.6


def test_p_is_exact_for_few_users():
    """Four users who all gain: of 16 sign patterns 2 are as extreme."""
    found = paired_test(np.array([1.0, 2.0, 3.0, 4.0]), np.zeros(4), resamples=4000)
    assert found.p == pytest.approx(2 / 16, abs=0.02)


def test_p_flips_whole_users_over_all_seeds():
    """Three trainings tell nothing new on users: with four users, p stays at 2 of 16 patterns."""
    gains = np.array([1.0, 2.0, 3.0, 4.0])
    found = paired_test(np.stack([gains] * 3), np.zeros((3, 4)), resamples=4000)
    assert found.p == pytest.approx(2 / 16, abs=0.02) and found.mean == 2.5


def test_scores_of_other_users_cannot_be_paired():
    for shape in ((3,), (2, 4), (4, 1)):
        with pytest.raises(ValueError, match="same users"):
            paired_test(np.zeros(4), np.zeros(shape))


@pytest.mark.parametrize(("metric", "sign"), [("accuracy", 1), ("rouge1", 1), ("f1", 1), ("mae", -1), ("rmse", -1)])
def test_a_gain_is_positive_when_better(metric, sign):
    higher, lower = users(30, 5), users(30, 5) - 1
    assert gain(metric, higher, lower, resamples=50).mean == pytest.approx(sign)
    assert gain(metric, lower, higher, resamples=50).mean == pytest.approx(-sign)
    assert gain(metric, higher, lower, resamples=50, seed=3) == gain(metric, higher, lower, resamples=50, seed=3)


def test_a_ratio_is_of_sums_and_large_users_count_more():
    values, sizes = np.array([1.0, 9.0]), np.array([1.0, 3.0])
    found = bootstrap_ratio(values, sizes)
    assert found.mean == pytest.approx(10 / 4)
    assert 1 <= found.low <= found.mean <= found.high <= 3


def test_a_ratio_of_equal_sizes_is_the_mean():
    values = np.stack([users(30, 0.3), users(30, 0.3, 1)])
    ratio, mean = bootstrap_ratio(values, np.ones(30)), bootstrap_mean(values)
    assert (ratio.mean, ratio.low, ratio.high) == pytest.approx((mean.mean, mean.low, mean.high))
    assert ratio.p == pytest.approx(paired_test(values, np.zeros((2, 30))).p)


def test_the_interval_of_a_ratio_holds_the_truth_in_about_95_of_100_draws():
    rng, hits = np.random.default_rng(0), 0
    for draw in range(200):
        sizes = rng.integers(5, 60, size=60).astype(float)
        values = 0.05 * sizes + rng.normal(size=60) * np.sqrt(sizes)
        found = bootstrap_ratio(values, sizes, resamples=200, seed=draw)
        hits += found.low <= 0.05 <= found.high
    assert 0.9 <= hits / 200 <= 0.99
