"""A plug's scores beside its controls, from examples of one's own; and what every control needs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pplug.base import InputError, is_value, shown
from pplug.data import (
    LOWER_IS_BETTER,
    Interval,
    Task,
    bootstrap_mean,
    clean_items,
    example_scores,
    gain,
    label_index,
    macro_f1,
)
from pplug.method.answering import predict, questions
from pplug.method.batches import Example, with_prompts
from pplug.method.budget import new_tokens
from pplug.method.model import PromptedLM
from pplug.method.user import build_users

PLUG, OTHER, NONE = "plug", "plug, another user's history", "no personalisation"


@dataclass(frozen=True)
class Evaluation:
    """Scores of a plug and its controls. `print` shows them as a table.

    Attributes:
        metrics: Row → metric → mean over users with its 95 % interval; the rows are `plug`, `plug, another user's
            history` and `no personalisation`.
        gains: Control → metric → what the plug gains over it, user by user; positive is better, whatever the metric.
        answers: Row → the texts, in the order of the examples.
        users: Users that were averaged over, each with all of its examples.
    """

    metrics: dict[str, dict[str, Interval]]
    gains: dict[str, dict[str, Interval]]
    answers: dict[str, list[str]]
    users: int

    @property
    def scores(self) -> dict[str, dict[str, dict[str, float]]]:
        """`metrics` in plain values: as `model.facts["scores"]` they are saved with the plug, for its model card."""
        return {
            row: {name: {"mean": i.mean, "low": i.low, "high": i.high} for name, i in own.items()}
            for row, own in self.metrics.items()
        }

    def __str__(self) -> str:
        examples = len(self.answers[PLUG])
        cells = {row: [_shown(name, i) for name, i in own.items()] for row, own in self.metrics.items()}
        cells |= {f"gain over {row}": [_gained(name, i) for name, i in own.items()] for row, own in self.gains.items()}
        lines = [f"{examples} examples of {self.users} users; means over users with 95 % intervals"]
        width = max(map(len, cells))
        return "\n".join(lines + [f"{row:{width}}  {'   '.join(own)}" for row, own in cells.items()])


def _shown(name: str, interval: Interval) -> str:
    arrow = "↓" if name in LOWER_IS_BETTER else "↑"
    return f"{name} {arrow} {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _gained(name: str, interval: Interval) -> str:
    mark = "" if interval.excludes_zero else " ∅"
    return f"{name} {interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]{mark}"


def evaluate(
    model: PromptedLM, examples: Sequence[dict], controls: bool = True, seed: int = 0, **options
) -> Evaluation:
    """Score a plug on examples, beside the two controls that need nothing else.

    *No personalisation* is the frozen LLM as it is. *Another user's history* is the same plug given the wrong user:
    what it scores is due to the embedding's presence, not to whose it is; left out where all examples are one user's.

    Args:
        model: With a trained plug.
        examples: `{"input", "output", "history", "user_id"}`, as for `train`; without `user_id`, each is a user of its
            own.
        controls: Whether to compute the controls.
        seed: Of the draw of other users.
        **options: For `PromptedLM.generate`: `num_beams`, `batch_size`, ...

    Returns:
        Scores, gains and answers. A user's examples are averaged before users are.

    Raises:
        InputError: There are no examples, or something in one is missing or wrong.
    """
    task, examples = model.task, list(examples)
    users = _check(task, examples)
    texts, golds = ([str(example[field]) for example in examples] for field in ("input", "output"))
    histories = [clean_items(task, e["history"], f"example {i}: history") for i, e in enumerate(examples)]
    served = [replace(user, features=None) for user in build_users(model, histories)]  # the plug's work in each batch
    options = {"max_new_tokens": new_tokens(task, model.tokenizer), "batch_size": 32} | options
    mine = questions(model, texts, served)
    answers = {PLUG: predict(model, mine, **options)}
    if controls and len(set(users)) > 1:
        others = [served[donor] for donor in _other_users(users, seed)]
        answers[OTHER] = predict(model, questions(model, texts, others), **options)
    if controls:
        answers[NONE] = predict(PromptedLM(model.llm, model.tokenizer), mine, **options)
    each = {row: _by_user(task, found, golds, users) for row, found in answers.items()}
    means = {row: {name: scores for name, scores in own.items() if name in task.metrics} for row, own in each.items()}
    gains = {
        row: {name: gain(name, means[PLUG][name], scores) for name, scores in own.items()}
        for row, own in means.items()
        if row != PLUG
    }
    metrics = {row: _intervals(task, each[row], found, golds, users) for row, found in answers.items()}
    return Evaluation(metrics, gains, answers, len(set(users)))


def _check(task: Task, examples: list[dict]) -> list[str]:
    """Check raw examples; returns whose each of them is."""
    if not examples:
        raise InputError("there are no examples to evaluate")
    for number, example in enumerate(examples):
        for field in ("input", "output", "history"):
            if not isinstance(example, dict) or example.get(field) is None:
                raise InputError(f'example {number}: expected "input", "output" and "history": no {field} is there')
        output = example["output"]
        if not is_value(output) or (task.labels and str(output) not in task.labels):
            what = f"one of the labels {', '.join(task.labels)}" if task.labels else "text"
            raise InputError(f"example {number}: output: expected {what}, found {shown(repr(output))}")
    users = [example.get("user_id") for example in examples]
    return [f"example {number}" if user is None else f"user {user}" for number, user in enumerate(users)]


def _by_user(task: Task, answers: list[str], golds: list[str], users: list[str]) -> dict[str, np.ndarray]:
    """Metric → each user's mean over the own examples, `[users] float64`; squared errors too, as `mse`."""
    scores = example_scores(task, answers, golds)
    if "mae" in scores:
        scores["mse"] = scores["mae"] ** 2
    _, owner = np.unique(users, return_inverse=True)
    return {name: np.bincount(owner, values) / np.bincount(owner) for name, values in scores.items()}


def _intervals(
    task: Task, each: dict[str, np.ndarray], answers: list[str], golds: list[str], users: list[str]
) -> dict[str, Interval]:
    """Every metric of the task with its interval over users, F1 and RMSE too, which are no means."""
    found = {name: bootstrap_mean(values) for name, values in each.items()}
    if "rmse" in task.metrics:
        square = found["mse"]
        found["rmse"] = Interval(square.mean**0.5, square.low**0.5, square.high**0.5)
    if "f1" in task.metrics:
        gold, predicted = (np.array([label_index(task, text) for text in texts]) for texts in (golds, answers))
        _, owner = np.unique(users, return_inverse=True)
        rows = [np.flatnonzero(owner == user) for user in range(owner.max() + 1)]
        rng, drawn = np.random.default_rng(0), []
        for _ in range(500):
            some = np.concatenate([rows[user] for user in rng.integers(len(rows), size=len(rows))])
            drawn.append(macro_f1(task, gold[some], predicted[some]))
        low, high = np.quantile(drawn, [0.025, 0.975])
        found["f1"] = Interval(macro_f1(task, gold, predicted), float(low), float(high))
    return {name: found[name] for name in task.metrics}


def answer_prompts(plain: PromptedLM, prompts: list[str], **options) -> list[str]:
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
        InputError: If all examples are one user's.
    """
    donors = [examples[donor] for donor in _other_users(user_ids, seed)]
    return [
        replace(example, history=donor.history, features=donor.features)
        for example, donor in zip(examples, donors, strict=True)
    ]


def _other_users(user_ids: list[str], seed: int) -> list[int]:
    """For each example, the number of a randomly drawn one of another user."""
    if len(set(user_ids)) < 2:
        raise InputError("swapping histories needs at least two users")
    rng, donors = random.Random(seed), []
    for user_id in user_ids:
        donor = rng.randrange(len(user_ids))
        while user_ids[donor] == user_id:
            donor = rng.randrange(len(user_ids))
        donors.append(donor)
    return donors
