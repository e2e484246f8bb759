"""Simulated users with known personas, written as LaMP files, so that one loader serves simulated, real and own data.

Everything here is invented text: it shows whether the method finds a persona that is there, not how large the gain is
on real people.
"""

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from pplug.base import write_text
from pplug.data import SPLITS, build_input, get_task
from pplug.offline.traits import TRAITS
from pplug.offline.world import TOPICS, Text, write

FIRST_DAY = date(2015, 1, 1)
TRAIN_QUESTIONS = 6  # a user
QUESTIONS = ("train",) * TRAIN_QUESTIONS + ("dev", "test")  # what a user's last texts become, in order of time
DIFFERS = 0.5  # share of users whose values for the two groups of inputs differ
SLIPS = 0.04  # share of texts in which a user departs from the own persona
HISTORY_MEDIAN, HISTORY_SIGMA, HISTORY_MAX = 14, 1.1, 200  # log-normal: about 10 % have 0-3 items, 4 % over 100


@dataclass(frozen=True)
class SimulatedUser:
    """A simulated user on one task: the true trait value for each group, and the texts in order of time."""

    user_id: str
    values: dict[str, str]
    texts: tuple[Text, ...]


def make_user(task: str, user_id: str, seed: int, history_length: int | None = None) -> SimulatedUser:
    """Make one user; the same `(task, user_id, seed)` always gives the same user.

    Args:
        task: The task's name.
        user_id: Any string. Users of different ids are independent, and so are the tasks of one id.
        seed: The population's seed.
        history_length: Number of items before the first question; drawn from a heavy-tailed distribution if None.

    Returns:
        The user with `history_length + len(QUESTIONS)` texts; the last ones are the questions.
    """
    rng = random.Random(f"{seed}/{task}/{user_id}")
    trait = TRAITS[task]
    first, second = rng.sample(list(trait.values), 2)
    if rng.random() >= DIFFERS:
        second = first
    values = dict(zip(trait.groups, (first, second), strict=True))
    length = history_length
    if length is None:
        length = min(HISTORY_MAX, int(rng.lognormvariate(math.log(HISTORY_MEDIAN), HISTORY_SIGMA)))
    topics = list(TOPICS[task])
    interest = [rng.gammavariate(1.5, 1.0) for _ in topics]
    texts = []
    for position in range(length + len(QUESTIONS)):
        topic = rng.choices(topics, weights=interest)[0]
        is_slip = position < length and rng.random() < SLIPS  # questions never slip: their gold is the persona's
        said = {group: rng.choice(list(trait.values)) for group in trait.groups} if is_slip else values
        texts.append(write(task, rng, said, topic))
    return SimulatedUser(user_id, values, tuple(texts))


def persona_sentence(task: str, values: dict[str, str]) -> str:
    """The true persona in words, e.g. `This reviewer is harsh with devices and fair with media.`"""
    return TRAITS[task].sentence(values)


def make_users(task: str, n_users: int, seed: int, prefix: str = "u") -> Iterator[SimulatedUser]:
    """Make `n_users` users called `{prefix}0000`, `{prefix}0001`, ..."""
    for i in range(n_users):
        yield make_user(task, f"{prefix}{i:04d}", seed)


def write_lamp(folder: str | Path, task: str, users: list[SimulatedUser], seed: int) -> Path:
    """Write users as LaMP files: `{split}_questions.json`, `{split}_outputs.json`, and `factors.json` beside them.

    Split by time: a user's last text is the test question, the one before it the dev question, those before it the
    train questions. A question's profile holds only the texts that came before it, with their dates.

    Args:
        folder: Where to; made if it does not exist.
        task: The task's name.
        users: The users.
        seed: Written into `factors.json`.

    Returns:
        The folder.
    """
    folder = Path(folder)
    spec = get_task(task)
    questions = {split: [] for split in SPLITS}
    golds = {split: [] for split in SPLITS}
    for number, user in enumerate(users):
        rng = random.Random(f"{seed}/{task}/{user.user_id}/dates")
        day, items = FIRST_DAY, []
        n_before = len(user.texts) - len(QUESTIONS)
        for position, text in enumerate(user.texts):
            day += timedelta(days=rng.randint(1, 20))
            if position >= n_before:
                split = QUESTIONS[position - n_before]
                example_id = f"{number}{position - n_before}"  # one digit: 8 questions a user
                asked = build_input(spec, **text.slots)
                question = {"id": example_id, "input": asked, "user_id": user.user_id, "topic": text.topic}
                questions[split].append(question | {"date": str(day), "profile": list(items)})
                golds[split].append({"id": example_id, "output": text.output})
            items.append(text.item | {"id": f"{number}-{position}", "date": str(day)})
    for split in SPLITS:
        _write_json(folder / f"{split}_questions.json", questions[split])
        _write_json(folder / f"{split}_outputs.json", {"task": task.replace("-", "_"), "golds": golds[split]})
    factors = {user.user_id: {"values": user.values, "persona": persona_sentence(task, user.values)} for user in users}
    _write_json(folder / "factors.json", {"simulated": True, "task": task, "seed": seed, "users": factors})
    return folder


def raw_examples(task: str, n_users: int, seed: int) -> list[dict]:
    """One example a user, as `train` and `evaluate` take them: the last text is asked for, the others are history.

    Returns:
        `{"input", "output", "history", "user_id"}` of each user.
    """
    spec = get_task(task)
    return [
        {
            "input": build_input(spec, **user.texts[-1].slots),
            "output": user.texts[-1].output,
            "history": [text.item for text in user.texts[:-1]],
            "user_id": user.user_id,
        }
        for user in make_users(spec.name, n_users, seed)
    ]


def simulate(folder: str | Path, task: str, n_users: int, seed: int, prefix: str = "u") -> Path:
    """Make users and write their files; see `make_users` and `write_lamp`."""
    name = get_task(task).name
    return write_lamp(folder, name, list(make_users(name, n_users, seed, prefix)), seed)


def _write_json(path: Path, value) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False))
