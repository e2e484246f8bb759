"""The records of `python -m pplug compare` → tables of scores and of costs, and the series behind figures."""

from collections.abc import Iterator

import numpy as np

from pplug.data.intervals import Interval, bootstrap_mean, gain
from pplug.data.tasks import LOWER_IS_BETTER, TASKS
from pplug.study.controls import INSTRUCTION, NONE, OTHER, PERSONA, PLUG
from pplug.study.paper import RIVALS_TEST, TABLE_1_TEST
from pplug.study.records import by_task, markdown

CONTROLS = (NONE, INSTRUCTION, OTHER, "plug, trained on shuffled users")
COLD_START = "cold_start"  # the group whose record has scores by number of items
RIVALS = ("controls", "plugs", "retrieval", "distilled", "summaries", "adapters")  # groups whose rows are compared
COST_COLUMNS = {  # head → field of `costs.Cost`, format
    "trained": ("trained", ",.0f"),
    "for each user": ("per_user", ",.0f"),
    "bytes a user": ("stored_bytes", ",.0f"),
    "s to add a user": ("new_user_seconds", ".2f"),
    "prompt tokens": ("prompt_tokens", ".0f"),
    "latency ×": ("latency", ".2f"),
}
PAPERS = {  # our row → the paper's in its Table 1; how many items its retrieval rows show is not stated there
    "recency, 1 item": "Recency",
    "BM25, 1 item": "BM25",
    "dense, 1 item": "Contriever",
    "distilled retriever, 1 item": "ROPG-KD",
    "LoRA for each user": "per-user LoRA",
}


def compared(records: list[dict]) -> list[dict]:
    """The records of the plug and its rivals, without the cold start's and the ablations'."""
    return [record for record in records if record["group"] in RIVALS]


def row_names(records: list[dict]) -> list[str]:
    """All rows, controls first, each where its group's record has it."""
    found = sorted(compared(records), key=lambda record: RIVALS.index(record["group"]))
    return list(dict.fromkeys(name for record in found for name in record["scores"]))


def of_row(records: list[dict], row: str) -> list[dict]:
    """One task's records that hold a row, one a seed."""
    return sorted((r for r in compared(records) if row in r["scores"]), key=lambda record: record["seed"])


def score(records: list[dict], row: str, users: list[int] | None = None) -> Interval:
    """One row's mean on one task, with an interval over users and, where there are several, seeds.

    Args:
        records: Of one task.
        row: Its name.
        users: Only these test users, by position; all the row has if None.
    """
    return bootstrap_mean(np.array([_of_users(record, row, users) for record in of_row(records, row)]))


def over(records: list[dict], row: str, baseline: str = INSTRUCTION) -> Interval:
    """What a row gains over another on one task, paired by user and seed; positive is better, whatever the metric.

    Pairs are made of the seeds and users that both rows have.
    """
    mine, theirs = (({record["seed"]: record for record in of_row(records, name)}) for name in (row, baseline))
    seeds = sorted(set(mine) & set(theirs))
    users = mine[seeds[0]]["users"] or theirs[seeds[0]]["users"]
    pairs = [
        [_of_users(found[seed], name, users) for seed in seeds] for found, name in ((mine, row), (theirs, baseline))
    ]
    return gain(TASKS[records[0]["task"]].metrics[0], *(np.array(values) for values in pairs))


def _of_users(record: dict, row: str, users: list[int] | None) -> list[float]:
    values = record["scores"][row]
    if users is None or record["users"] == users:
        return values
    if record["users"] is not None:
        raise ValueError(f"{record['task']} {row}: this row has other users than those asked for")
    return [values[user] for user in users]


def sign(interval: Interval) -> str:
    """▲ or ▼ where an interval is on one side of zero, else nothing."""
    return "▲" if interval.low > 0 else "▼" if interval.high < 0 else ""


def score_table(records: list[dict]) -> str:
    """All rows and tasks: mean, ▲ or ▼ over instruction only, and the paper's numbers in columns of their own."""
    tasks = by_task(compared(records))
    head = ["", *(cell for task in tasks for cell in (f"{task} {metric_label(task)}", "*paper*"))]
    lines = []
    for row in row_names(records):
        cells = []
        for task, found in tasks.items():
            papers = _papers(task, row)
            if not of_row(found, row):
                cells += ["–", papers]
                continue
            mark = sign(over(found, row)) if row != INSTRUCTION else ""
            value = f"{score(found, row).mean:.3f} {mark}".strip()
            cells += [f"**{value}**" if row == PLUG else value, papers]
        lines.append([row, *cells])
    return markdown(head, lines)


def gain_lines(records: list[dict]) -> Iterator[tuple[str, str, Interval]]:
    """Each row's gain over instruction only on each task: task, row, `Interval` with p."""
    for task, found in by_task(compared(records)).items():
        for row in row_names(found):
            if row != INSTRUCTION:
                yield task, row, over(found, row)


def full_table(records: list[dict]) -> str:
    """Every column of every row, a table for each task: score, gain over instruction only with p, costs."""
    head = ["gain over instruction only", "p", "seeds × users", *COST_COLUMNS, "*paper*"]
    parts = []
    for task, found in by_task(compared(records)).items():
        lines = []
        for row in row_names(found):
            own, better = of_row(found, row), over(found, row)
            lines.append(
                [
                    row,
                    _told(score(found, row), ".3f"),
                    "" if row == INSTRUCTION else _told(better, "+.3f"),
                    "" if row == INSTRUCTION else f"{better.p:.4f}",
                    f"{len(own)} × {own[0]['n']}",
                    *_cost_cells(found, row),
                    _papers(task, row),
                ]
            )
        table = markdown(["", metric_label(task), *head], lines)
        parts.append(f"## {task} {TASKS[task].title}\n\n{table}\n")
    return "\n".join(parts)


def duel_table(records: list[dict]) -> str:
    """What the plug gains over each rival on each task, paired; ▲ or ▼ where the interval leaves zero."""
    tasks = by_task(compared(records))
    lines = []
    for row in row_names(records):
        if row != PLUG:
            found = [over(own, PLUG, row) if of_row(own, row) else None for own in tasks.values()]
            lines.append([row, *("–" if i is None else f"{i.mean:+.3f} {sign(i)}".strip() for i in found)])
    return markdown(["the plug's gain over", *(f"{task} {TASKS[task].metrics[0]}" for task in tasks)], lines)


def verdict_table(records: list[dict]) -> str:
    """Who wins each task at what cost, and which rivals the plug beats, equals within noise, or loses to.

    Rivals are all rows but the controls of row 1 and the persona in words. Best is among the rows of all test users.
    Behind a score stand the bytes kept for a user and the latency over that without personalisation.
    """

    def told(found: list[dict], row: str, mean: float) -> str:
        return f"{mean:.3f} ({cost(found, row, 'stored_bytes') / 1000:.1f} kB, × {cost(found, row, 'latency'):.2f})"

    lines = []
    for task, found in by_task(compared(records)).items():
        rows = [row for row in row_names(found) if row not in (*CONTROLS, PERSONA)]
        means = {row: score(found, row).mean for row in rows if of_row(found, row)[0]["users"] is None}
        order = sorted(means, key=means.get, reverse=TASKS[task].metrics[0] not in LOWER_IS_BETTER)
        duels = {row: sign(over(found, PLUG, row)) for row in rows if row != PLUG}
        lost = [row for row, side in duels.items() if side == "▼"]
        lines.append(
            [
                f"{task} {metric_label(task)}",
                f"{order[0]}: {told(found, order[0], means[order[0]])}",
                told(found, PLUG, means[PLUG]),
                f"{sum(side == '▲' for side in duels.values())} of {len(duels)}",
                str(sum(side == "" for side in duels.values())),
                ", ".join(lost) or "none",
            ]
        )
    head = ["task", "best of all users' rows", "plug", "the plug beats", "not told apart", "the plug loses to"]
    return markdown(head, lines)


def error_removed(records: list[dict]) -> dict[str, dict[str, float]]:
    """The share of the error of instruction only that each row removes: its gain over what is left to perfection.

    That is 1 - score where higher is better, else the error itself, of the same users. Tasks can be compared by it.

    Returns:
        Row → task → share; 1 is perfection, 0 no better than instruction only.
    """
    shares: dict[str, dict[str, float]] = {}
    for task, row, better in gain_lines(records):
        found = [record for record in compared(records) if record["task"] == task]
        base = score(found, INSTRUCTION, of_row(found, row)[0]["users"]).mean
        left = base if TASKS[task].metrics[0] in LOWER_IS_BETTER else 1 - base
        shares.setdefault(row, {})[task] = better.mean / left
    return shares


def subset_table(records: list[dict]) -> str:
    """The users that have parameters of their own: every row on the same subset, for the tasks that have such rows."""
    users = {record["task"]: record["users"] for record in records if record["group"] == "adapters"}
    tasks = {task: found for task, found in by_task(compared(records)).items() if task in users}
    lines = []
    for row in row_names(records):
        found = {task: score(own, row, users[task]) for task, own in tasks.items() if of_row(own, row)}
        lines.append([row, *(f"{found[task].mean:.3f}" if task in found else "–" for task in tasks)])
    return markdown(["", *(f"{task} {metric_label(task)}" for task in tasks)], lines)


def cost_table(records: list[dict]) -> str:
    """What each row costs, means over the tasks."""
    return markdown(["", *COST_COLUMNS], [[row, *_cost_cells(records, row)] for row in row_names(records)])


def cost(records: list[dict], row: str, field: str) -> float:
    """One field of `costs.Cost` of a row, mean over the records that have it."""
    return float(np.mean([r["costs"][row][field] for r in compared(records) if row in r["scores"]]))


def _cost_cells(records: list[dict], row: str) -> list[str]:
    return [f"{cost(records, row, field):{form}}" for field, form in COST_COLUMNS.values()]


def _told(interval: Interval, form: str) -> str:
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def by_length(records: list[dict], row: str) -> list[tuple[float, Interval]]:
    """One row's score on one task for the users with short, medium and long histories, three equal groups.

    Returns:
        For each group the mean history length and the score.
    """
    found = of_row(records, row)
    lengths = np.array(found[0]["history_lengths"])
    values = np.array([record["scores"][row] for record in found])
    groups = np.array_split(np.argsort(lengths, kind="stable"), 3)
    return [(float(lengths[users].mean()), bootstrap_mean(values[:, users])) for users in groups]


def metric_label(task: str) -> str:
    """A task's headline metric with an arrow to the better side."""
    metric = TASKS[task].metrics[0]
    return f"{metric} {'↓' if metric in LOWER_IS_BETTER else '↑'}"


def _papers(task: str, row: str) -> str:
    without, plug = TABLE_1_TEST[task][TASKS[task].metrics[0]]
    known = {NONE: without, PLUG: plug} | {ours: RIVALS_TEST[theirs][task] for ours, theirs in PAPERS.items()}
    return f"*{known[row]:.3f}*" if row in known else ""
