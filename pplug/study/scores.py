"""The records of `python -m pplug compare` → numbers: means and gains over seeds × users, costs."""

from collections.abc import Iterator

import numpy as np

from pplug.data import LOWER_IS_BETTER, TASKS, Interval, bootstrap_mean, gain
from pplug.study.names import COLD_START, INSTRUCTION, PLUG, RIVAL_GROUPS
from pplug.study.records import by_task


def of_groups(records: list[dict], groups: tuple[str, ...] = RIVAL_GROUPS) -> list[dict]:
    """The records of some groups; if none are named, those of the plug and its rivals."""
    return [record for record in records if record["group"] in groups]


def row_names(records: list[dict]) -> list[str]:
    """All rows of the plug and its rivals, controls first, each where its group's record has it."""
    found = sorted(of_groups(records), key=lambda record: RIVAL_GROUPS.index(record["group"]))
    return list(dict.fromkeys(name for record in found for name in record["scores"]))


def of_row(records: list[dict], row: str) -> list[dict]:
    """One task's records that hold a row, one a seed.

    Raises:
        ValueError: They are of different data, so that their users cannot be paired.
    """
    found = [record for record in records if record["group"] != COLD_START and row in record["scores"]]
    if len({record["data_hash"] for record in found}) > 1 or len({record["seed"] for record in found}) < len(found):
        raise ValueError(f"{row}: these records are of different data: their users cannot be paired")
    return sorted(found, key=lambda record: record["seed"])


def seeds_by_users(records: list[dict], row: str, users: list[int] | None = None) -> np.ndarray:
    """One row's scores in the task's headline metric on one task, `[seeds, users]`.

    Args:
        records: Of one task.
        row: Its name.
        users: Only these test users, by position; all the row has if None.
    """
    return np.array([_of_users(record, row, users) for record in of_row(records, row)])


def score(records: list[dict], row: str, users: list[int] | None = None) -> Interval:
    """One row's mean on one task with an interval over users and, where there are several, seeds; see above."""
    return bootstrap_mean(seeds_by_users(records, row, users))


def over(records: list[dict], row: str, baseline: str = INSTRUCTION) -> Interval:
    """What a row gains over another on one task, paired by user and seed; positive is better, whatever the metric.

    Pairs are made of the seeds and users that both rows have.
    """
    return gain(TASKS[records[0]["task"]].metrics[0], *pairs(records, row, baseline))


def pairs(records: list[dict], row: str, baseline: str) -> list[np.ndarray]:
    """The scores of two rows on one task for the seeds and users that both have: two times `[seeds, users]`.

    Raises:
        ValueError: They are of different data, or have no seed in common.
    """
    mine, theirs = ({record["seed"]: record for record in of_row(records, name)} for name in (row, baseline))
    seeds = sorted(set(mine) & set(theirs))
    if not seeds or mine[seeds[0]]["data_hash"] != theirs[seeds[0]]["data_hash"]:
        raise ValueError(f"{row}, {baseline}: these records are of different data: their users cannot be paired")
    users = mine[seeds[0]]["users"] or theirs[seeds[0]]["users"]
    return [
        np.array([_of_users(found[seed], name, users) for seed in seeds])
        for found, name in ((mine, row), (theirs, baseline))
    ]


def _of_users(record: dict, row: str, users: list[int] | None) -> list[float]:
    values = record["scores"][row]
    if users is None or record["users"] == users:
        return values
    if record["users"] is not None:
        raise ValueError(f"{record['task']} {row}: this row has other users than those asked for")
    return [values[user] for user in users]


def gains(records: list[dict], baselines: tuple[str, ...], row: str = PLUG) -> dict[str, Interval]:
    """What a row gains on one task over each baseline that has a record: baseline → `Interval`."""
    return {b: over(records, row, b) for b in baselines if of_row(records, b)}


def gain_lines(records: list[dict]) -> Iterator[tuple[str, str, Interval]]:
    """Each row's gain over instruction only on each task: task, row, `Interval` with p."""
    for task, found in by_task(of_groups(records)).items():
        for row in row_names(found):
            if row != INSTRUCTION:
                yield task, row, over(found, row)


def error_removed(records: list[dict]) -> dict[str, dict[str, float]]:
    """The share of the error of instruction only that each row removes: its gain over what is left to perfection.

    That is 1 - score where higher is better, else the error itself, of the same users. Tasks can be compared by it.

    Returns:
        Row → task → share; 1 is perfection, 0 no better than instruction only.
    """
    shares: dict[str, dict[str, float]] = {}
    for task, row, better in gain_lines(records):
        found = by_task(of_groups(records))[task]
        base = score(found, INSTRUCTION, of_row(found, row)[0]["users"]).mean
        left = base if TASKS[task].metrics[0] in LOWER_IS_BETTER else 1 - base
        shares.setdefault(row, {})[task] = better.mean / left
    return shares


def cost(records: list[dict], row: str, field: str) -> float:
    """One field of `costs.Cost` of a row, mean over the records that have it; NaN where it was not measured."""
    found = [r["costs"][row][field] for r in of_groups(records) if row in r["costs"]]
    return float(np.mean(found)) if found else float("nan")


def by_length(records: list[dict], row: str) -> list[tuple[float, Interval]]:
    """One row's score on one task for the users with short, medium and long histories, three equal groups.

    Returns:
        For each group the mean history length and the score.
    """
    lengths = np.array(of_row(records, row)[0]["history_lengths"])
    values = seeds_by_users(records, row)
    groups = np.array_split(np.argsort(lengths, kind="stable"), 3)
    return [(float(lengths[users].mean()), bootstrap_mean(values[:, users])) for users in groups]
