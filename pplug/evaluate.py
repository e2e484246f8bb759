"""Predictions → scores with intervals, paired tests, and the controls every evaluation prints beside the plug."""

import functools
import random
from dataclasses import dataclass, replace

import numpy as np

from pplug.batches import Example, collate, prepare
from pplug.curriculum import pick_items
from pplug.data import Data
from pplug.errors import InputError
from pplug.metrics import corpus_scores, example_scores, label_index, macro_f1
from pplug.model import PersonalizedLM
from pplug.retrieval import with_prompts
from pplug.tasks import LOWER_IS_BETTER, Task, prompt_with_items, prompt_with_persona

# The rows of every table, in this order. What each control rules out is said in `controls`.
NONE, ITEMS_1, ITEMS_4 = "no personalisation", "1 retrieved item in the prompt", "4 retrieved items in the prompt"
INSTRUCTION, OTHER, PLUG = "instruction embedding only", "plug, another user's history", "plug"
PERSONA = "true persona in words"
ROWS = (NONE, ITEMS_1, ITEMS_4, INSTRUCTION, OTHER, PLUG, PERSONA)


def predict(model: PersonalizedLM, examples: list[Example], batch_size: int = 64, **options) -> list[str]:
    """Generate for many examples, in batches of similar length.

    Args:
        model: With or without a plug.
        examples: From `batches.prepare`.
        batch_size: Examples at a time.
        **options: For the LLM's `generate`.

    Returns:
        One text for each example, in the order given.
    """
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].input_ids))
    texts = [""] * len(examples)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collate(model, [examples[i] for i in rows], for_generation=True)
        for i, text in zip(rows, model.generate_batch(batch, **options), strict=True):
            texts[i] = text
    return texts


def answer_prompts(plain: PersonalizedLM, prompts: list[str], **options) -> list[str]:
    """Generate from text alone.

    Args:
        plain: An LLM without plug.
        prompts: What to answer; cut at 512 tokens.
        **options: For the LLM's `generate`.

    Returns:
        One text for each prompt.
    """
    nothing = np.zeros((0, 0), dtype=np.float16)
    empty = [Example([], [], nothing, nothing, "")] * len(prompts)
    return predict(plain, with_prompts(plain, empty, prompts), **options)


def swap_histories(examples: list[Example], user_ids: list[str], seed: int) -> list[Example]:
    """Give each example the history of another, randomly drawn user; everything else stays.

    Raises:
        ValueError: If all examples are one user's.
    """
    if len(set(user_ids)) < 2:
        raise InputError("swapping histories needs at least two users")
    rng = random.Random(seed)
    swapped = []
    for example, user_id in zip(examples, user_ids, strict=True):
        donor = rng.randrange(len(examples))
        while user_ids[donor] == user_id:
            donor = rng.randrange(len(examples))
        swapped.append(replace(example, history=examples[donor].history))
    return swapped


def controls(
    model: PersonalizedLM,
    data: Data,
    examples: list[dict],
    instruction_only: PersonalizedLM | None,
    seed: int,
    only: tuple[str, ...] | None = None,
    **options,
) -> dict[str, list[str]]:
    """Predict with the plug and with every control, or with the rows named in `only`.

    - *no personalisation*: the frozen LLM as it is;
    - *1 and 4 retrieved items*: the same LLM with the user's most similar items as text, untrained;
    - *instruction embedding only*: trained on the same labels, without a user: what is task tuning, not the user;
    - *another user's history*: the same plug, wrong user: what is the embedding's presence, not its content;
    - *true persona in words*: simulated users only; what there is to gain.

    Args:
        model: The trained plug.
        data: The task's data.
        examples: The examples to evaluate, from `data.splits`.
        instruction_only: A trained plug without user embedding; its row is left out if None.
        seed: Of the draw of other users.
        only: The rows to compute; all if None.
        **options: For the LLM's `generate`.

    Returns:
        Row name → predictions, in the order of `ROWS`.
    """
    task = data.task
    plain = PersonalizedLM(model.llm, model.tokenizer, None, model.encoder)
    mine = prepare(model, data, examples)
    users = [example["user_id"] for example in examples]

    def with_items(k: int) -> list[str]:
        prompts = []
        for example in examples:
            items = pick_items(task, example["input"], [data.items[row] for row in example["profile"]], k)
            prompts.append(prompt_with_items(task, items, example["input"]))
        return answer_prompts(plain, prompts, **options)

    def with_persona() -> list[str]:
        personas = [data.factors[user]["persona"] for user in users]
        prompts = [prompt_with_persona(p, e["input"]) for p, e in zip(personas, examples, strict=True)]
        return answer_prompts(plain, prompts, **options)

    ways = {
        NONE: lambda: predict(plain, mine, **options),
        ITEMS_1: lambda: with_items(1),
        ITEMS_4: lambda: with_items(4),
        INSTRUCTION: lambda: predict(instruction_only, mine, **options),
        OTHER: lambda: predict(model, swap_histories(mine, users, seed), **options),
        PLUG: lambda: predict(model, mine, **options),
        PERSONA: with_persona,
    }
    impossible = [INSTRUCTION] * (instruction_only is None) + [PERSONA] * (data.factors is None)
    return {row: ways[row]() for row in ROWS if row not in impossible and (only is None or row in only)}


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
