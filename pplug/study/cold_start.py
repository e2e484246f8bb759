"""How many items does a user need? The same users with their newest 0, 1, 2, 4, ... items."""

from dataclasses import replace

import numpy as np

from pplug.base import cache_folder
from pplug.data import example_scores
from pplug.study.experiment import SIMULATED_SEED
from pplug.study.names import INSTRUCTION, NONE, PLUG, items_row
from pplug.study.rows import ITEMS
from pplug.study.setting import Setting

LENGTHS = (0, 1, 2, 4, 8, 16, 32)
USERS = 100  # simulated ones, none of whom the plug was trained on
FEWEST = 20  # real users, of whom there must be this many with the longest history that is shown


def newest(examples: list[dict], n: int) -> list[dict]:
    """The same questions with the newest `n` items of each profile."""
    return [example | {"profile": example["profile"][len(example["profile"]) - n :]} for example in examples]


def setting(s: Setting) -> tuple[Setting, tuple[int, ...]]:
    """The users and the lengths to compare: new simulated users with long histories, or the real ones that have them.

    Returns:
        A setting with these users' questions, each with the longest of the lengths, and the lengths.
    """
    longest = LENGTHS[-1]
    if s.data.factors is not None:
        from pplug.data import load
        from pplug.offline.simulate import QUESTIONS, make_user, write_lamp

        folder = cache_folder() / "simulated" / f"cold-{SIMULATED_SEED}-{USERS}-{s.data.hash[:8]}" / s.task
        if not (folder / "factors.json").exists():  # the file written last
            before = longest - len(QUESTIONS) + 1
            users = [make_user(s.task, f"c{i:04d}", SIMULATED_SEED, before) for i in range(USERS)]
            write_lamp(folder, s.task, users, SIMULATED_SEED)
        data = load(folder, s.task)
        return s.on(data, data.splits["test"].to_list()), LENGTHS
    lengths = [len(example["profile"]) for example in s.examples]
    longest = max((n for n in LENGTHS if sum(own >= n for own in lengths) >= min(FEWEST, len(lengths))), default=0)
    chosen = [example for example, own in zip(s.examples, lengths, strict=True) if own >= longest]
    return s.on(s.data, newest(chosen, longest)), tuple(n for n in LENGTHS if n <= longest)


def scores(s: Setting) -> dict[str, dict[int, list[float]]]:
    """Score the plug and retrieval at each length of history.

    Args:
        s: The task and its users, of which the long ones or others are chosen, see `setting`.

    Returns:
        Row → number of items → every user's score in the headline metric.
    """
    plug, tuned = s.plug, s.tuned
    whole, lengths = setting(s)
    task = whole.data.task
    golds = [example["output"] for example in whole.examples]

    def score(texts: list[str]) -> list[float]:
        return np.round(example_scores(task, texts, golds)[task.metrics[0]], 4).tolist()

    found: dict[str, dict[int, list[float]]] = {name: {} for name in (NONE, INSTRUCTION, PLUG)}
    alone = {NONE: score(whole.answers(whole.plain, whole.prepared))}
    alone[INSTRUCTION] = score(whole.answers(tuned, whole.prepared))
    for n in lengths:
        few = whole.on(whole.data, newest(whole.examples, n))
        few.__dict__["prepared"] = [replace(e, history=e.history[len(e.history) - n :]) for e in whole.prepared]
        found[NONE][n], found[INSTRUCTION][n] = alone[NONE], alone[INSTRUCTION]
        found[PLUG][n] = score(few.answers(plug, few.prepared))
        ranked = few.ranked("BM25")
        for k in ITEMS:
            texts = few.answers(few.plain, few.with_items(ranked, k))
            found.setdefault(items_row("BM25", k), {})[n] = score(texts)
    return found
