"""Scores of users → means with intervals, and paired tests: over seeds × users, in this one place."""

import functools
from dataclasses import dataclass, replace

import numpy as np

from pplug.data.metrics import corpus_scores, example_scores, label_index, macro_f1
from pplug.data.tasks import LOWER_IS_BETTER, Task


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval and, for differences, a two-sided p-value."""

    mean: float
    low: float
    high: float
    p: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def bootstrap_mean(values: np.ndarray, resamples: int = 2000, seed: int = 0) -> Interval:
    """The mean over users (and seeds) with a 95 % percentile interval.

    Args:
        values: `[users]`, or `[seeds, users]` for several training seeds; then both are resampled, so that the interval
            covers new users *and* a new training run.
        resamples: Number of bootstrap resamples.
        seed: Of the resampling.
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    seeds, users = _draws(*values.shape, resamples, seed)
    means = ((users @ values.T) * seeds).sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def bootstrap_ratio(values: np.ndarray, sizes: np.ndarray, resamples: int = 2000, seed: int = 0) -> Interval:
    """A sum over users by the sum of their sizes, such as nats per token, with a 95 % interval and a p-value.

    Args:
        values: `[users]` or `[seeds, users]`, each user's sum: of a difference, where two ways are compared.
        sizes: `[users]`, above 0, such as tokens.
        resamples: Of the bootstrap over users and seeds, and of the sign-flip test over users.
        seed: Of both.
    """
    values, sizes = np.atleast_2d(np.asarray(values, dtype=float)), np.asarray(sizes, dtype=float)
    seeds, users = _draws(*values.shape, resamples, seed)
    low, high = np.quantile(((users @ values.T) * seeds).sum(axis=1) / (users @ sizes), [0.025, 0.975])
    by_user = values.mean(axis=0)
    extreme = np.abs(_signs(len(sizes), resamples, seed) @ by_user) >= abs(by_user.sum()) - 1e-9
    p = float((extreme.sum() + 1) / (resamples + 1))
    return Interval(float(by_user.sum() / sizes.sum()), float(low), float(high), p)


@functools.lru_cache(maxsize=32)
def _draws(n_seeds: int, n_users: int, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each resample draws each seed and each user, as shares: `[resamples, seeds]`, `[resamples, users]`."""
    rng = np.random.default_rng(seed)
    seeds, users = np.empty((resamples, n_seeds)), np.empty((resamples, n_users))
    for r in range(resamples):
        seeds[r] = np.bincount(rng.integers(n_seeds, size=n_seeds), minlength=n_seeds) / n_seeds
        users[r] = np.bincount(rng.integers(n_users, size=n_users), minlength=n_users) / n_users
    return seeds, users


def bootstrap_corpus(task: Task, predictions: list[str], golds: list[str], resamples: int = 1000, seed: int = 0):
    """Every metric of the task with its interval, resampling examples; for metrics that are no mean (F1, RMSE) too.

    Returns:
        Metric → `Interval`.
    """
    whole, each = corpus_scores(task, predictions, golds), example_scores(task, predictions, golds)
    intervals = {name: bootstrap_mean(each[name], resamples, seed) for name in whole if name in each}
    if "rmse" in whole:
        squares = bootstrap_mean(each["mae"] ** 2, resamples, seed)
        intervals["rmse"] = Interval(whole["rmse"], squares.low**0.5, squares.high**0.5)
    if "f1" in whole:
        gold, predicted = (np.array([label_index(task, text) for text in texts]) for texts in (golds, predictions))
        draws = np.random.default_rng(seed).integers(len(golds), size=(resamples, len(golds)))
        low, high = np.quantile([macro_f1(task, gold[rows], predicted[rows]) for rows in draws], [0.025, 0.975])
        intervals["f1"] = Interval(whole["f1"], float(low), float(high))
    return {name: intervals[name] for name in whole}


def paired_test(better: np.ndarray, baseline: np.ndarray, resamples: int = 2000, seed: int = 0) -> Interval:
    """Compare two sets of scores of the same users.

    Args:
        better: `[users]` or `[seeds, users]`, per-example scores of the system.
        baseline: Same shape, of the baseline.
        resamples: Of the bootstrap (interval) and of the sign-flip test (p-value).
        seed: Of both.

    Returns:
        The mean of `better - baseline`, its 95 % interval, and the p-value of a sign-flip permutation test over users.

    Raises:
        ValueError: If the shapes differ.
    """
    better, baseline = np.asarray(better, dtype=float), np.asarray(baseline, dtype=float)
    if better.shape != baseline.shape:
        raise ValueError(f"scores to compare must be of the same users and seeds: {better.shape} and {baseline.shape}")
    difference = np.atleast_2d(better - baseline)
    interval = bootstrap_mean(difference, resamples, seed)
    by_user = difference.mean(axis=0)
    extreme = np.abs(_signs(len(by_user), resamples, seed) @ by_user) / len(by_user) >= abs(by_user.mean()) - 1e-12
    return replace(interval, p=float((extreme.sum() + 1) / (resamples + 1)))


@functools.lru_cache(maxsize=32)
def _signs(n_users: int, resamples: int, seed: int) -> np.ndarray:
    """Which differences each permutation flips, `[resamples, users]` of -1 and 1."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, n_users))


def gain(metric: str, better: np.ndarray, baseline: np.ndarray, **options) -> Interval:
    """`paired_test`, with the sign such that positive means better whatever the metric."""
    pair = (baseline, better) if metric in LOWER_IS_BETTER else (better, baseline)
    return paired_test(*pair, **options)
