"""The README's tables, generated from the records: `python -m tools.readme`. None of their numbers is typed."""

import json
import re
from pathlib import Path

from pplug.base.files import write_text
from pplug.config import PROFILES
from pplug.data.tasks import LOWER_IS_BETTER, TASKS
from pplug.method.llm_loading import SHIPPED
from pplug.study.people_tables import (
    people_records,
    people_table,
    replies_record,
    replies_table,
    trainings_line,
    tried_records,
    tried_table,
    verdict,
)
from pplug.study.plan import needs, plug_parameters
from pplug.study.records import FOLDER, load_records, markdown
from pplug.study.tables import again_table, cost_table, gain_table, main_table, score_table, verdict_table

README = FOLDER.parent / "README.md"
GOALS = {
    "00_start_here": "one user: the same input without and with her embedding, and with someone else's",
    "01_load_the_data": "six tasks, LaMP's files, simulated users with known personas",
    "02_embed_histories": "texts to unit vectors, each distinct text once",
    "03_train_the_user_embedder": "the six equations by hand, then for real; every control; all six tasks",
    "04_ablate_pooling_and_instruction": "pooling, instruction embedding, soft tokens, labels, temperature",
    "05_map_user_embeddings": "the map of users, and the numbers that say what it shows",
    "06_compare_with_baselines": "every rival on the same users: scores, costs, cold start, where the plug loses",
    "07_your_own_users": "from a table of texts, or a git repository, to a personalised answer and its controls",
    "08_where_the_time_goes": "a training step part by part, against the published procedure and against its floor",
    "09_what_an_embedding_reveals": "four attacks on the vectors, and what blurring them costs",
    "10_real_people": "real people, a real LLM: whose history makes the true reply likely, who gains, newcomers",
}


def lessons() -> str:
    """The lesson table: goal, and minutes and memory as measured when the committed outputs were made."""
    record = json.loads((FOLDER / "timings.json").read_text())
    lines = []
    for run in record["notebooks"]:
        name, seconds = run["name"], run["seconds"]
        link = f"[{name}](notebooks/{name}.ipynb)"
        lines.append([link, GOALS[name], f"{seconds / 60:.1f}", f"{run['peak_mib'] / 1024:.1f} GiB", "CPU"])
    minutes = sum(run["seconds"] for run in record["notebooks"]) / 60
    cores = {run["machine"]["cores"] for run in record["notebooks"]}
    peak = max(run["peak_mib"] for run in record["notebooks"]) / 1024
    lines.append(["**all**", "", f"**{minutes:.1f}**", f"**{peak:.1f} GiB**", f"CPU, {max(cores)} cores"])
    return markdown(["lesson", "goal", "minutes", "peak memory", "hardware"], lines)


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
    """What the benchmarks found: every ratio beside what it was to reach."""
    order = ("training", "encoding", "serving", "sizes")
    rows = [row for name in order for row in json.loads((FOLDER / "benchmarks" / f"{name}.json").read_text())["rows"]]
    lines = [[row["what"], row["goal"] or "–", f"**{row['value']:.3g}**", row["detail"]] for row in rows]
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


def people(records: list[dict]) -> str:
    """The table of real people, what it says in sentences, and what is written."""
    parts = [people_table(records), verdict(records), trainings_line(records), replies_table(replies_record())]
    return "\n\n".join(parts)


def compare_records() -> list[dict]:
    """The records of `python -m pplug compare`."""
    return load_records("compare-default")


TABLES = {
    "lessons": lessons,
    "people": lambda: people(people_records()),
    "tried": lambda: tried_table(tried_records()),
    "results": lambda: main_table(compare_records()),
    "gains": lambda: gain_table(compare_records()),
    "standin": standin_table,
    "speed": speed_table,
    "plans": plan_table,
    "compare": lambda: score_table(compare_records()),
    "verdicts": lambda: verdict_table(compare_records()),
    "costs": lambda: cost_table(compare_records()),
    "again": lambda: again_table(compare_records(), load_records("again-default")),
}


def update(path: Path = README) -> None:
    """Write every table between its markers, `<!-- table: NAME -->` and `<!-- end -->`.

    Raises:
        ValueError: If a table has no place in the file.
    """
    text = path.read_text(encoding="utf-8")
    for name, make in TABLES.items():
        pattern = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{path.name}: expected a place for a table, <!-- table: {name} --> ... <!-- end -->")
        table = make()
        text = pattern.sub(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text)
    write_text(path, text)


if __name__ == "__main__":
    update()
