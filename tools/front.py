"""What the README shows of the records, on one screen: replies, one sentence, the lessons, one small table."""

import json
import re

import numpy as np

from pplug.study import people_tables
from pplug.study.asked import ANOTHERS, NONE, OWN, PAPER_OWN
from pplug.study.people import ITEMS_SAID, PROMPT_TUNING
from pplug.study.records import FOLDER, markdown
from tools import notebooks

NOTEBOOKS = FOLDER.parent / "notebooks"
GOALS = {
    "00_start_here": "one user: an answer without and with her embedding, and with someone else's; try it by hand",
    "01_load_the_data": "six tasks, LaMP's files, simulated users with known personas",
    "02_embed_histories": "texts to unit vectors, each distinct text once",
    "03_train_the_user_embedder": "the six equations by hand, then for real; every control",
    "04_ablate_pooling_and_instruction": "pooling, instruction embedding, soft tokens, labels",
    "05_map_user_embeddings": "the map of users, to touch, and the numbers that say what it shows",
    "06_compare_with_baselines": "every rival on the same users; where the plug loses",
    "07_your_own_users": "from a table of texts, or a git repository, to an answer",
    "08_where_the_time_goes": "a training step part by part, against the least it could take",
    "09_what_an_embedding_reveals": "four attacks on the vectors, and what blurring costs",
    "10_real_people": "real people, a real LLM: who gains, who loses, newcomers",
}
TUNED_4 = f"{PROMPT_TUNING}, {ITEMS_SAID[4]}"
FRONT = (NONE, ITEMS_SAID[4], PROMPT_TUNING, TUNED_4, PAPER_OWN, ANOTHERS, OWN)


def lessons() -> str:
    """The lesson table: goal, and minutes and memory as measured when the committed outputs were made."""
    runs = json.loads((FOLDER / "timings.json").read_text())["notebooks"]
    lines = [_lesson(run) for run in runs]
    minutes, peak = sum(run["seconds"] for run in runs) / 60, max(run["peak_mib"] for run in runs) / 1024
    cores = max(run["machine"]["cores"] for run in runs)
    lines.append([f"**all**, on {cores} cores", "", f"**{minutes:.1f}**", f"**{peak:.1f} GiB**"])
    return markdown(["lesson", "goal", "minutes", "memory"], lines)


def first_answer() -> str:
    """How long it takes a newcomer, as measured in a fresh clone: the whole first lesson, set-up included."""
    run = json.loads((FOLDER / "timings.json").read_text())["notebooks"][0]
    minutes, cores = notebooks.as_time(run[notebooks.FROM_NOTHING]), run["machine"]["cores"]
    told = f"From `make run` in a fresh clone to the end of lesson 00, set-up included: {minutes} minutes"
    return f"{told} on {cores} cores."


def _lesson(run: dict) -> list[str]:
    name, minutes, memory = run["name"], run["seconds"] / 60, run["peak_mib"] / 1024
    number, _, title = name.partition("_")
    link = f"[{number} {title.replace('_', ' ')}](notebooks/{name}.ipynb)"
    return [link, GOALS[name], f"{minutes:.1f}", f"{memory:.1f} GiB"]


def replies() -> str:
    """The real LLM's replies to one message, with nobody's embedding and with invented people's, as lesson 00 has them.

    Raises:
        ValueError: The lesson no longer shows them.
    """
    notebook = json.loads((NOTEBOOKS / "00_start_here.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        asked = re.search(r'format\(message="(.*?)"\)', "".join(cell["source"]))
        shown = ["".join(output.get("data", {}).get("text/markdown", "")) for output in cell.get("outputs", [])]
        if asked and (tables := [text for text in shown if text.startswith("| user embedding | reply |")]):
            return tables[0].replace("| reply |", f"| reply to *{asked[1]}* |", 1)
    raise ValueError("00_start_here.ipynb: expected a cell that shows a table of replies to one message")


def people_front(records: list[dict]) -> str:
    """The few rows of the real people that say most."""
    users, lines = people_tables.trained_on(records), []
    for row in FRONT:
        gain, share = people_tables.better_by(records, OWN, row), people_tables.users_better(records, OWN, row)
        cells = ["–", "–"] if row == OWN else [people_tables.told(gain), people_tables.share(share)]
        name = people_tables.TABLE[row]
        nats = people_tables.nats(records, row, users).mean
        lines.append([f"**{name}**" if row == OWN else name, f"{nats:.3f}", *cells])
    return markdown(["", "nats per token ↓", "crowd plug, own history, gains", "who gains"], lines)


def measured(records: list[dict]) -> str:
    """What was measured, on whom, and what came out, in sentences that are true whatever the records hold."""
    users, newcomers = people_tables.trained_on(records), people_tables.newcomers(records, 0, 0)
    asked = np.bincount(records[0]["questions"]["user"], minlength=len(users))
    found = [
        f"{_than(records, row, people)} {name}"
        for row, name, people in (
            (ANOTHERS, "with another person's history", users),
            (PROMPT_TUNING, "*prompt tuning* (soft tokens that are the same for everyone)", users),
            (TUNED_4, "prompt tuning with four of the person's replies in the prompt", users),
        )
    ]
    new = f"For {newcomers.sum()} newcomers without any history it is {_than(records, PROMPT_TUNING, newcomers)}"
    return (
        f"**Measured** on {asked[users].sum():,} replies of {users.sum()} real people, in chats that no training saw. "
        "In brackets: nats per token, how much smaller the LLM's loss on the true reply is. With a person's own "
        f"history the plug is {', '.join(found[:-1])}, and {found[-1]}. {new} prompt tuning. {_unknown()}"
    )


def _unknown() -> str:
    """What newcomers without a history gain over prompt tuning when they are answered as the mean person."""
    newcomers = next(record["newcomers"] for record in people_tables.tried_records() if "newcomers" in record)
    gains = newcomers["better_than_prompt_tuning_by"]
    before, now = (gains[way][0] for way in ("as it was trained", "the mean person"))
    return (
        f"The plug that ships now answers them as the mean person: {now:+.3f} instead of {before:+.3f}, "
        f"measured on {newcomers['people']} newcomers in one training."
    )


def _than(records: list[dict], row: str, users: np.ndarray) -> str:
    gain = people_tables.better_by(records, OWN, row, users)
    if gain.low <= 0 <= gain.high:
        return f"not shown to be better or worse ({gain.mean:+.3f}) than"
    return f"{'better' if gain.low > 0 else 'worse'} ({gain.mean:+.3f}) than"
