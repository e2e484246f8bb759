"""The tables of README.md and docs/ from the records: `python -m tools.readme`. None of their numbers is typed."""

import json
import re
from pathlib import Path

from benchmarks.goals import missed
from pplug.base.files import write_text
from pplug.config import PROFILES
from pplug.data.tasks import LOWER_IS_BETTER, TASKS
from pplug.method.llm_loading import SHIPPED
from pplug.study.people_tables import (
    cache_line,
    cache_record,
    people_records,
    people_table,
    replies_line,
    replies_record,
    replies_table,
    task_records,
    tasks_table,
    trainings_line,
    tried_records,
    tried_table,
    verdict,
)
from pplug.study.plan import needs, planned_on, plug_parameters
from pplug.study.plan_users import many_users
from pplug.study.records import FOLDER, load_records, markdown
from pplug.study.tables import again_table, cost_table, gain_table, main_table, score_table, verdict_table
from tools import field
from tools.front import first_answer, lessons, measured, people_front, replies

ROOT = FOLDER.parent


def standin_table() -> str:
    """What the stand-in gains, on users it has not seen, from each way of telling it about the user."""
    scores = json.loads((SHIPPED / "scores.json").read_text())
    lines = []
    for name in TASKS:
        found = scores[name]
        cells = [f"{found['scores']['nothing']['mean']:.3f}"]
        for way in ("persona", "1 item", "4 items"):
            g = found["gains"][way]
            limited = "" if g["low"] > 0 else " ⚠"
            cells.append(
                f"{found['scores'][way]['mean']:.3f} ({g['mean']:+.3f} [{g['low']:+.3f}, {g['high']:+.3f}]){limited}"
            )
        arrow = "↓" if found["metric"] in LOWER_IS_BETTER else "↑"
        lines.append([name, f"{found['metric']} {arrow}", *cells, f"{found['described']:.0%}"])
    head = [
        "task",
        "metric",
        "nothing",
        "persona in words",
        "1 item",
        "4 items",
        "persona sentence written word for word",
    ]
    return markdown(head, lines)


def speed_table() -> str:
    """What the benchmarks found: every ratio beside what it was to reach, and whether it missed that."""
    order = ("training", "chat_training", "encoding", "serving", "users", "sizes")
    rows = [row for name in order for row in json.loads((FOLDER / "benchmarks" / f"{name}.json").read_text())["rows"]]
    lines = [[row["what"], row["goal"] or "–", f"**{row['value']:.3g}**{missed(row)}", row["detail"]] for row in rows]
    return markdown(["what", "to reach", "measured", "in full"], lines)


def plan_table() -> str:
    """What each profile for real models needs, as `python -m pplug plan` reckons it."""
    lines = []
    for name in ("laptop", "gpu", "paper", "llama", "qwen"):
        profile = PROFILES[name]
        found, hours = needs(profile), needs(profile)["hours"]
        sizes = [f"{found[what] / 1e9:.0f} GB" for what in ("weights", "disk", "memory")]
        one = f"{sum(hours.values()):.1f} ({hours['encode']:.1f}, {hours['train']:.1f}, {hours['answer']:.1f})"
        trained = f"{plug_parameters(profile) / 1e6:.1f} M"
        lines.append([name, profile.llm, trained, *sizes, found["device"].name, one, f"{found['evaluate']:.1f}"])
    head = ["profile", "LLM, frozen", "trained", "to download", "disk", "device memory", "on"]
    head += ["hours: a plug for each of six tasks (encoding, training, answering)", "hours with every control"]
    return markdown(head, lines)


def users_table() -> str:
    """What a million and a hundred million users cost, as plan_users.py reckons it."""
    lines = []
    for name, users in ((name, users) for name in ("laptop", "paper", "llama") for users in (10**6, 10**8)):
        profile, found = PROFILES[name], many_users(users, PROFILES[name])
        hours = [_short(found[what]) for what in ("encode", "refresh", "lora_train")]
        sizes = [f"{_short(found[what] / 1e12)} TB" for what in ("vectors", "ready", "mean", "lora")]
        models = f"{profile.llm}, {profile.encoder}, {planned_on(profile).name}"
        lines.append([f"{users:,}", models, *hours[:1], *sizes[:3], *hours[1:], *sizes[3:]])
    head = ["users", "LLM, encoder, on", "hours to encode all items", "vectors", "users ready, attention"]
    head += ["users ready, mean", "hours until ready again after a new plug", "LoRA for each: hours", "LoRA for each"]
    return markdown(head, lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def people(records: list[dict]) -> str:
    """The table of real people, what it says in sentences, and what is written."""
    parts = [people_table(records), verdict(records), trainings_line(records), cache_line(records[0], cache_record())]
    parts += [replies_table(replies_record()), replies_line(replies_record())]
    return "\n\n".join(parts)


def compare_records() -> list[dict]:
    """The records of `python -m pplug compare`."""
    return load_records("compare-default")


TABLES = {
    "replies": replies,
    "measured": lambda: measured(people_records()),
    "first-answer": first_answer,
    "lessons": lessons,
    "people-front": lambda: people_front(people_records()),
    "people": lambda: people(people_records()),
    "tasks": lambda: tasks_table(task_records()),
    "tried": lambda: tried_table(tried_records()),
    "results": lambda: main_table(compare_records()),
    "gains": lambda: gain_table(compare_records()),
    "standin": standin_table,
    "speed": speed_table,
    "many-users": users_table,
    "plans": plan_table,
    "compare": lambda: score_table(compare_records()),
    "verdicts": lambda: verdict_table(compare_records()),
    "costs": lambda: cost_table(compare_records()),
    "field": field.table,
    "again": lambda: again_table(compare_records(), load_records("again-default")),
}


def pages(folder: Path = ROOT) -> list[Path]:
    """The README and the pages of `docs/`."""
    return [folder / "README.md", *sorted((folder / "docs").glob("*.md"))]


def update(folder: Path = ROOT) -> None:
    """Write every table between its markers, `<!-- table: NAME -->` and `<!-- end -->`, in the page that has them.

    Raises:
        ValueError: If a table has no place in any page.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in pages(folder)}
    for name, make in TABLES.items():
        pattern = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        places = [path for path, text in texts.items() if pattern.search(text)]
        if not places:
            wanted = f"expected a place for a table, <!-- table: {name} --> ... <!-- end -->"
            raise ValueError(f"README.md, docs/: {wanted}")
        table = make()
        for path in places:
            texts[path] = pattern.sub(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", texts[path])
    for path, text in texts.items():
        write_text(path, text)


if __name__ == "__main__":
    update()
