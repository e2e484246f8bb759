"""The records of `python -m pplug people` → numbers: nats per token, gains over users × seeds, who wrote it."""

import math

import numpy as np

from pplug.data import Interval, bootstrap_mean, bootstrap_ratio
from pplug.study.people import ANOTHERS, LENGTHS, NONE, OWN, PROMPT_TUNING
from pplug.study.records import load_records, markdown

GROUP, TRIED = "people", "people-tried"
AGAINST = f" against {PROMPT_TUNING}"


def of_users(records: list[dict], row: str) -> np.ndarray:
    """A row's nats, each user's sum: `[seeds, users]`."""
    return np.array([record["nats"][row] for record in records if row in record["nats"]])


def sizes(records: list[dict], of: str = "tokens") -> np.ndarray:
    """`[users]`: tokens, letters or questions, the same in all records.

    Raises:
        ValueError: They are not: the records are of different questions.
    """
    every = np.array([record[of] for record in records])
    if (every != every[0]).any():
        raise ValueError("these records are of different questions: their users cannot be paired")
    return every[0]


def nats(records: list[dict], row: str) -> Interval:
    """A row's nats per token of the true replies."""
    return bootstrap_ratio(of_users(records, row), sizes(records))


def better_by(records: list[dict], row: str, baseline: str, users: np.ndarray | None = None) -> Interval:
    """How many nats per token a row is better than another: paired by user and seed; positive is better.

    Args:
        records: One a seed.
        row: Its name.
        baseline: The other's.
        users: `[n]`, the users to look at, as positions or a mask; all if None.
    """
    gained, tokens = of_users(records, baseline) - of_users(records, row), sizes(records)
    chosen = slice(None) if users is None else users
    return bootstrap_ratio(gained[:, chosen], tokens[chosen])


def users_better(records: list[dict], row: str, baseline: str) -> float:
    """The share of users whose replies a row finds likelier than another does, in the mean over seeds."""
    return float(((of_users(records, baseline) - of_users(records, row)).mean(axis=0) > 0).mean())


def who(records: list[dict], row: str) -> Interval:
    """The share of questions, user by user, in which the true reply is told from another person's."""
    right = np.array([record["who"][row] for record in records if row in record["who"]])
    return bootstrap_mean(right / sizes(records, "questions"))


def people_table(records: list[dict]) -> str:
    """Every row on the real people's replies."""
    letters = sizes(records, "letters").sum()
    lines = []
    for row in (NONE, PROMPT_TUNING, ANOTHERS, OWN):
        found, bits = nats(records, row), of_users(records, row).mean(axis=0).sum() / letters / math.log(2)
        gained = "" if row == OWN else f"{_shown(better_by(records, OWN, row))}, {users_better(records, OWN, row):.0%}"
        told = who(records, row)
        name = row if row in (NONE, PROMPT_TUNING) else f"crowd plug, {row}"
        cells = [
            f"{found.mean:.3f}",
            f"{bits:.3f}",
            gained or "–",
            f"{told.mean:.3f} [{told.low:.3f}, {told.high:.3f}]",
        ]
        lines.append([f"**{name}**" if row == OWN else name, *cells])
    head = ["", "nats per token ↓", "bits per character ↓", "own history better by (nats per token), of users"]
    return markdown([*head, "who wrote it? ↑"], lines)


def verdict(records: list[dict]) -> str:
    """What the records say, in sentences that are true whatever they hold."""
    told = []
    for row, name in ((NONE, "the bare LLM"), (ANOTHERS, "another user's history"), (PROMPT_TUNING, "prompt tuning")):
        i, share = better_by(records, OWN, row), users_better(records, OWN, row)
        kind = "better" if i.low > 0 else "worse" if i.high < 0 else "not shown to be better or worse"
        told.append(f"{kind} than {name} ({i.mean:+.3f} [{i.low:+.3f}, {i.high:+.3f}], {share:.0%} of people)")
    questions, people = sizes(records, "questions").sum(), len(sizes(records))
    return (
        f"On {questions} replies of {people} people, in {len(records)} trainings, the plug with a person's own history "
        f"is {'; '.join(told)}: nats per token of the true reply gained, 95 % intervals over people and trainings."
    )


def length_lines(records: list[dict]) -> dict[int, Interval]:
    """What so many items of the history, the newest, gain over prompt tuning, and all of it: items → gain.

    Of users who have more than the most items, so that all points are of the same people.
    """
    items = np.array(records[0]["items"])
    many = items > max(LENGTHS)
    some = [record for record in records if f"{LENGTHS[0]} items" in record["nats"]]
    found = {n: better_by(some, f"{n} items", PROMPT_TUNING, many) for n in LENGTHS}
    return found | {int(np.median(items[many])): better_by(some, OWN, PROMPT_TUNING, many)}


def tried_table(record: dict) -> str:
    """What was compared on dev: nats per token of each variant with the own and with another user's history."""
    lines = [
        [row["what"], str(row["steps"]), f"{row['own']:.3f}", f"{row['other']:.3f}" if "other" in row else "–"]
        for row in record["rows"]
    ]
    return markdown(["variant", "steps × batch", "own history", "another user's history"], lines)


def people_records() -> list[dict]:
    """The records of real people, one a seed."""
    return load_records(GROUP)


def tried_record() -> dict:
    """The record of what was compared on dev."""
    return load_records(TRIED)[0]


def _shown(i: Interval) -> str:
    mark = "" if i.excludes_zero else " ∅"
    return f"{i.mean:+.3f} [{i.low:+.3f}, {i.high:+.3f}]{mark}"
