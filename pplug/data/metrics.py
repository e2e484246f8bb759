"""LaMP's metrics as its evaluator computes them.

The rules, each tested by name in `tests/test_metrics.py`:

- labels are compared after stripping white space; anything else that is not a label is wrong (no fuzzy matching);
- macro-F1 is the mean over **all** labels of the task, a label that never occurs counting as zero;
- a score is read with `float`; one that cannot be read counts as whichever of 1 and 5 is farther from the gold;
- ROUGE is the F-measure without stemming;
- its words are LaMP's, runs of a-z and 0-9; where golds have other letters they are Unicode's (`tokenizer_name`).
"""

import math
from collections.abc import Iterable
from types import SimpleNamespace

import numpy as np

from pplug.data.tasks import TASKS, Task
from pplug.data.words import has_other_letters, unicode_words

FEW = 0.05  # share of golds; of the 137 real LaMP-4 golds at hand one has letters beyond ASCII, in other languages most
LAMP, UNICODE = "LaMP: a-z, 0-9", "Unicode: letters, marks, digits"


def label_index(task: Task, text: str) -> int:
    """The label's number, or -1 if the text, stripped, is not one of the task's labels."""
    text = text.strip()
    return task.labels.index(text) if text in task.labels else -1


def score_value(prediction: str, gold: str) -> float:
    """Read a predicted rating.

    Returns:
        The number, or, where the text is not a finite number, whichever of 1.0 and 5.0 is farther from the gold.

    Note:
        The authors' release counts an unparsable rating as 1.0, which favours it when the gold is low.
    """
    try:
        value = float(prediction.strip())
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    return 1.0 if abs(1 - float(gold)) > abs(5 - float(gold)) else 5.0


def example_scores(task: Task, predictions: list[str], golds: list[str]) -> dict[str, np.ndarray]:
    """Score each example on its own, for intervals and paired tests.

    Args:
        task: The task.
        predictions: The LLM's outputs.
        golds: The users' own outputs, in the same order.

    Returns:
        Metric → `[examples] float64`: `accuracy`, or `mae` (the absolute error), or `rouge1` and `rougeL`.

    Raises:
        ValueError: If the two lists differ in length or are empty.
    """
    _check(predictions, golds)
    if task.metrics[0] == "mae":
        return {"mae": np.array([abs(score_value(p, g) - float(g)) for p, g in zip(predictions, golds, strict=True)])}
    if task.labels:
        hits = [label_index(task, p) == label_index(task, g) for p, g in zip(predictions, golds, strict=True)]
        return {"accuracy": np.array(hits, dtype=float)}
    from rouge_score.rouge_scorer import RougeScorer

    tokenizer = SimpleNamespace(tokenize=unicode_words) if tokenizer_name(task, golds) == UNICODE else None
    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=False, tokenizer=tokenizer)
    scores = [scorer.score(g.strip(), p.strip()) for p, g in zip(predictions, golds, strict=True)]
    return {name: np.array([s[name].fmeasure for s in scores]) for name in ("rouge1", "rougeL")}


def tokenizer_name(task: Task, golds: Iterable[str]) -> str | None:
    """Which words ROUGE compares, for run records.

    Returns:
        `LAMP` where no gold has a letter or digit beyond ASCII's: scores are those of LaMP's evaluator. Else `UNICODE`:
        LaMP's words lose such letters, so that Bär is Bör and a perfect Russian answer scores 0. None for labels.

    Note:
        LaMP's own files hold a name such as Julián now and then, and are to be scored as LaMP scores them: on its six
        tasks, up to `FEW` of the golds may have such letters.
    """
    if task.labels:
        return None
    others = [has_other_letters(gold) for gold in golds]
    is_lamps = task == TASKS.get(task.name)
    return UNICODE if sum(others) > (FEW * len(others) if is_lamps else 0) else LAMP


def corpus_scores(task: Task, predictions: list[str], golds: list[str]) -> dict[str, float]:
    """Compute the task's metrics over a set of examples.

    Returns:
        Metric → value, in the order of `task.metrics`.

    Note:
        LaMP's evaluator reports ROUGE through a resampling aggregator, whose middle value wobbles in the fourth
        digit; here it is the plain mean.
    """
    means = {name: float(values.mean()) for name, values in example_scores(task, predictions, golds).items()}
    if "f1" in task.metrics:
        indices = [np.array([label_index(task, text) for text in texts]) for texts in (golds, predictions)]
        means["f1"] = macro_f1(task, *indices)
    if "rmse" in task.metrics:
        errors = [score_value(p, g) - float(g) for p, g in zip(predictions, golds, strict=True)]
        means["rmse"] = float(np.sqrt(np.mean(np.square(errors))))
    return {name: means[name] for name in task.metrics}


def macro_f1(task: Task, golds: np.ndarray, predictions: np.ndarray) -> float:
    """Macro-F1 over all of the task's labels.

    Args:
        task: The task.
        golds: `[examples] int`, label numbers.
        predictions: `[examples] int`, label numbers, -1 for what is not a label.
    """
    from sklearn.metrics import f1_score

    labels = range(len(task.labels))
    return float(f1_score(golds, predictions, labels=list(labels), average="macro", zero_division=0))


def _check(predictions: list[str], golds: list[str]) -> None:
    if len(predictions) != len(golds) or not golds:
        raise ValueError(
            f"predictions and golds must be equally many and not none: {len(predictions)} and {len(golds)}"
        )
