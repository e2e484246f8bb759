"""The records of `python -m pplug compare` → Markdown tables of scores, gains and costs; no number is typed."""

import numpy as np

from pplug.data import LOWER_IS_BETTER, TASKS, Interval, gain
from pplug.study.names import (
    ABLATIONS,
    BASELINES,
    EVALUATED,
    INSTRUCTION,
    NONE,
    OTHER,
    PERSONA,
    PLUG,
    STANDARD,
    WITHOUT_USER,
)
from pplug.study.paper import RIVALS_TEST, TABLE_1_TEST
from pplug.study.records import by_task, markdown
from pplug.study.scores import cost, gains, of_groups, of_row, over, row_names, score

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
NOT_OURS = [name for name in RIVALS_TEST if name not in PAPERS.values()]  # rows that the paper alone has
DENSE_NOTE = "† The paper's is Contriever, an encoder trained to retrieve; ours ranks by the history encoder's vectors."


def sign(interval: Interval) -> str:
    """▲ or ▼ where an interval is on one side of zero, else nothing."""
    return "▲" if interval.low > 0 else "▼" if interval.high < 0 else ""


def folded(told: str, table: str) -> str:
    """A table that a reader unfolds: its line, and the table behind it, as Markdown."""
    return f"<details><summary>{told}</summary>\n\n{table}\n\n</details>"


def score_table(records: list[dict], rows: tuple[str, ...] | None = None) -> str:
    """Rows and tasks: mean, ▲ or ▼ over instruction only, and the paper's numbers in columns of their own.

    All rows if none are named.

    The paper's rivals that have no row of ours stand below, its strongest, RSPG-Post, among them.
    """
    tasks = by_task(of_groups(records))
    head = ["", *(cell for task in tasks for cell in (f"{task} {metric_label(task)}", "*paper*"))]
    lines = []
    for row in rows or row_names(records):
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
    for theirs in NOT_OURS if rows is None else ():
        cells = (cell for task in tasks for cell in ("–", f"*{RIVALS_TEST[theirs][task]:.3f}*"))
        lines.append([f"*the paper's {theirs}*", *cells])
    return "\n".join([markdown(head, lines), *_notes(records)])


def main_table(records: list[dict]) -> str:
    """The main claim's rows, a line for each task: means over seeds and users, and the paper's in columns of their own.

    The paper's are measured on other data with an LLM a thousand times larger; they stand there for orientation only.
    """
    tasks = by_task(of_groups(records))
    rows = [row for row in EVALUATED if any(of_row(found, row) for found in tasks.values())]
    head = ["task", "metric", *rows, "seeds", "*paper: FlanT5-XXL as is*", "*paper: PPlug*"]
    lines = []
    for task, found in tasks.items():
        means = {row: f"{score(found, row).mean:.3f}" for row in rows if of_row(found, row)}
        cells = [f"**{means[row]}**" if row == PLUG else means.get(row, "–") for row in rows]
        theirs = [f"*{value:.3f}*" for value in TABLE_1_TEST[task][TASKS[task].metrics[0]]]
        lines.append([f"{task} {TASKS[task].title}", metric_label(task), *cells, _seeds(found, tuple(means)), *theirs])
    return markdown(head, lines)


def gain_table(records: list[dict]) -> str:
    """What the plug gains over each baseline, with 95 % intervals over users and seeds; ∅ where they include zero."""
    head = ["task", "metric", *(f"gain over {b}" for b in BASELINES), "users", "seeds"]
    lines = []
    for task, found in by_task(of_groups(records)).items():
        known = gains(found, BASELINES)
        cells = [
            f"{_told(known[b], '+.3f')}{'' if known[b].excludes_zero else ' ∅'}" if b in known else "–"
            for b in BASELINES
        ]
        users = str(of_row(found, PLUG)[0]["n"])
        lines.append([task, TASKS[task].metrics[0], *cells, users, _seeds(found, (*known, PLUG))])
    return markdown(head, lines)


def _seeds(records: list[dict], rows: tuple[str, ...]) -> str:
    """How many seeds rows have, e.g. `3; BM25, 1 item: 1`: what most have, then the others."""
    counts = {row: len(of_row(records, row)) for row in rows}
    most = max(counts.values())
    return "; ".join([str(most), *(f"{row}: {n}" for row, n in counts.items() if n != most)])


def one_line(record: dict) -> str:
    """One line on a record of the main claim's rows: the plug's score and what it gains over two controls."""
    told = (f"{_told(i, '+.3f')} over {name}" for name, i in gains([record], (INSTRUCTION, OTHER)).items())
    return f"{record['task']} {TASKS[record['task']].metrics[0]} {score([record], PLUG).mean:.3f}: {'; '.join(told)}"


def ablation_table(records: list[dict], group: str, standard: str = STANDARD) -> str:
    """A group of ablations: each row's mean on each task and, in brackets, what it gains over the standard plug.

    Args:
        records: All records; the standard plug's is in the group `ablations`.
        group: One of `names.ABLATIONS`.
        standard: The row that the others are compared with.
    """
    tasks = by_task(of_groups(records, (group,)))
    paired = by_task(of_groups(records, ABLATIONS))
    rows = dict.fromkeys(row for found in tasks.values() for record in found for row in record["scores"])
    lines = []
    for row in rows:
        cells = []
        for task, found in tasks.items():
            own = of_row(found, row)
            gained = row != standard and own and of_row(paired[task], standard)
            told = f" ({_told(over(paired[task], row, standard), '+.3f')})" if gained else ""
            cells.append(f"{score(found, row).mean:.3f}{told}" if own else "–")
        lines.append([row, *cells, "; ".join(str(len(of_row(found, row))) for found in tasks.values())])
    return markdown(["", *(f"{task} {metric_label(task)}" for task in tasks), "seeds"], lines)


def again_table(records: list[dict], again: list[dict]) -> str:
    """What came out where cells were run again: for each row, how many users score otherwise, and by how much.

    Rows for which nobody does share the first line.

    Args:
        records: The records that are shown elsewhere.
        again: Records of some of the same cells.
    """
    found: dict[str, list[tuple[int, int, Interval]]] = {}
    for record in again:
        key = {name: record[name] for name in ("task", "group", "seed", "data_hash")}
        (before,) = (old for old in records if key.items() <= old.items())
        for row in record["scores"]:
            now, then = np.array(record["scores"][row]), np.array(before["scores"][row])
            better = gain(TASKS[record["task"]].metrics[0], now, then)
            found.setdefault(row, []).append((int((now != then).sum()), len(now), better))
    same = [row for row, cells in found.items() if not any(cell[0] for cell in cells)]
    every = [cell for row in same for cell in found.pop(row)]
    lines = [["; ".join(same), str(len(every)), f"0 of {sum(cell[1] for cell in every):,}", "–", "–"]] if same else []
    for row, cells in found.items():
        others, users = (sum(column) for column in list(zip(*cells, strict=True))[:2])
        means, apart = [cell[2].mean for cell in cells], sum(cell[2].excludes_zero for cell in cells)
        told = f"{np.mean(means):+.4f} ({min(means):+.4f} … {max(means):+.4f})"
        lines.append([row, str(len(cells)), f"{others} of {users:,}", told, str(apart)])
    head = ["", "cells", "users with another score", "better by, mean (least … most)", "intervals without zero"]
    return markdown(head, lines)


def _notes(records: list[dict]) -> list[str]:
    """Lines below a table: what a row's number in the paper's column is of, and which rows are left out, and why."""
    left_out = {(row, why) for record in records for row, why in record.get("left_out", {}).items()}
    notes = [DENSE_NOTE] if any(row.startswith("dense") for row in row_names(records)) else []
    return [f"\n{note}" for note in (*notes, *(f"{row}: left out, {why}." for row, why in sorted(left_out)))]


def full_table(records: list[dict]) -> str:
    """Every column of every row, a table for each task: score, gain over instruction only with p, costs."""
    head = ["gain over instruction only", "p", "seeds × users", *COST_COLUMNS, "*paper*"]
    parts = []
    for task, found in by_task(of_groups(records)).items():
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
        parts.append("\n".join([f"## {task} {TASKS[task].title}\n", table, *_notes(found), ""]))
    return "\n".join(parts)


def duel_table(records: list[dict]) -> str:
    """What the plug gains over each rival on each task, paired; ▲ or ▼ where the interval leaves zero."""
    tasks = by_task(of_groups(records))
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
    for task, found in by_task(of_groups(records)).items():
        rows = [row for row in row_names(found) if row not in (*WITHOUT_USER, PERSONA)]
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


def subset_table(records: list[dict]) -> str:
    """The users that have parameters of their own: every row on the same subset, for the tasks that have such rows."""
    users = {record["task"]: record["users"] for record in records if record["group"] == "adapters"}
    tasks = {task: found for task, found in by_task(of_groups(records)).items() if task in users}
    lines = []
    for row in row_names(records):
        found = {task: score(own, row, users[task]) for task, own in tasks.items() if of_row(own, row)}
        lines.append([row, *(f"{found[task].mean:.3f}" if task in found else "–" for task in tasks)])
    return markdown(["", *(f"{task} {metric_label(task)}" for task in tasks)], lines)


def cost_table(records: list[dict]) -> str:
    """What each row costs, means over the tasks."""
    return markdown(["", *COST_COLUMNS], [[row, *_cost_cells(records, row)] for row in row_names(records)])


def _cost_cells(records: list[dict], row: str) -> list[str]:
    return [f"{cost(records, row, field):{form}}" for field, form in COST_COLUMNS.values()]


def _told(interval: Interval, form: str) -> str:
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def metric_label(task: str) -> str:
    """A task's headline metric with an arrow to the better side."""
    metric = TASKS[task].metrics[0]
    return f"{metric} {'↓' if metric in LOWER_IS_BETTER else '↑'}"


def _papers(task: str, row: str) -> str:
    without, plug = TABLE_1_TEST[task][TASKS[task].metrics[0]]
    known = {NONE: without, PLUG: plug} | {ours: RIVALS_TEST[theirs][task] for ours, theirs in PAPERS.items()}
    mark = " †" if row == "dense, 1 item" else ""
    return f"*{known[row]:.3f}*{mark}" if row in known else ""
