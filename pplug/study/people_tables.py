"""The records of `python -m pplug people` → numbers: nats per token, gains over users × seeds, who wrote it."""

import math

import numpy as np

from pplug.data import LOWER_IS_BETTER, Interval, bootstrap_mean, bootstrap_ratio
from pplug.study.asked import (
    ANOTHERS,
    CACHED,
    LENGTHS,
    NONE,
    OWN,
    PAPER_ANOTHERS,
    PAPER_OWN,
    newest_said,
)
from pplug.study.people import CROWD, IN_WORDS, PAPER, PROMPT_TUNING, SHUFFLED
from pplug.study.people_parts import CACHE_GROUP, GROUP, REPLIES_GROUP, WORDS_GROUP
from pplug.study.people_variants import VARIANTS, row_of
from pplug.study.records import load_records, markdown

TRIED = "people-tried"
TABLE = {  # row of a record → what the table calls it
    NONE: "the bare LLM",
    **{name: f"the bare LLM, {name}" for name in IN_WORDS},
    PROMPT_TUNING: PROMPT_TUNING,
    **{f"{plug}, {name}": f"{plug}, {name}" for plug in (PROMPT_TUNING, CROWD) for name in IN_WORDS},
    PAPER_ANOTHERS: PAPER_ANOTHERS,
    PAPER_OWN: PAPER_OWN,
    SHUFFLED: "crowd plug, trained on shuffled users",
    ANOTHERS: f"crowd plug, {ANOTHERS}",
    OWN: f"crowd plug, {OWN}",
}


def people_records() -> list[dict]:
    """The records of real people, one a seed; what is asked without a plug stands in the first."""
    first, *others = load_records(GROUP)
    (words,) = load_records(WORDS_GROUP)
    return [first | {kind: first[kind] | words[kind] for kind in ("nats", "who")}, *others]


def tried_records() -> list[dict]:
    """The records of what was compared on dev."""
    return load_records(TRIED)


def of_users(records: list[dict], row: str, turn: int | None = None) -> np.ndarray:
    """A row's nats, each user's sum, on request of their n-th question alone: `[seeds, users]`."""
    return np.array([_by_user(record, record["nats"][row], turn) for record in records if row in record["nats"]])


def sizes(records: list[dict], of: str = "tokens", turn: int | None = None) -> np.ndarray:
    """`[users]`: sums of tokens or letters; the same in all records.

    Raises:
        ValueError: They are not: the records are of different questions.
    """
    every = np.array([_by_user(record, record["questions"][of], turn) for record in records])
    if (every != every[0]).any():
        raise ValueError("these records are of different questions: their users cannot be paired")
    return every[0]


def _by_user(record: dict, values: list, turn: int | None) -> np.ndarray:
    questions, values = record["questions"], np.array(values, dtype=float)
    if turn is not None:
        values = values * (np.array(questions["turn"]) == turn)
    return np.bincount(questions["user"], values, record["people"])


def trained_on(records: list[dict]) -> np.ndarray:
    """`[users] bool`: who was trained on; the others are newcomers."""
    return np.arange(records[0]["people"]) < records[0]["trained_on"]


def newcomers(records: list[dict], least: int, most: int) -> np.ndarray:
    """`[users] bool`: who was not trained on and has so many items of history."""
    return ~trained_on(records) & (items(records) >= least) & (items(records) <= most)


def items(records: list[dict]) -> np.ndarray:
    """`[users] int`: items of each user's history."""
    found = np.zeros(records[0]["people"], dtype=int)
    found[records[0]["questions"]["user"]] = records[0]["questions"]["items"]
    return found


def nats(records: list[dict], row: str, users: np.ndarray) -> Interval:
    """A row's nats per token of these users' true replies."""
    return bootstrap_ratio(of_users(records, row)[:, users], sizes(records)[users])


def better_by(
    records: list[dict], row: str, baseline: str, users: np.ndarray | None = None, turn: int | None = None
) -> Interval:
    """How many nats per token a row is better than another: paired by user and seed; positive is better.

    Args:
        records: One a seed.
        row: Its name.
        baseline: The other's.
        users: `[n]`, the users to look at, as positions or a mask; those who were trained on if None.
        turn: Only their n-th question.
    """
    gained, tokens = of_users(records, baseline, turn) - of_users(records, row, turn), sizes(records, turn=turn)
    chosen = np.flatnonzero(trained_on(records)) if users is None else np.arange(len(tokens))[users]
    chosen = chosen[tokens[chosen] > 0]
    return bootstrap_ratio(gained[:, chosen], tokens[chosen])


def in_each_training(records: list[dict], row: str, baseline: str) -> str:
    """What a row gains over another in each training alone, of people who were trained on, in words."""
    gains = [better_by([record], row, baseline).mean for record in records if row in record["nats"]]
    return ", ".join(f"{gain:+.3f}" for gain in gains)


def users_better(records: list[dict], row: str, baseline: str, users: np.ndarray | None = None) -> float:
    """The share of users whose replies a row finds likelier than another does, in the mean over seeds."""
    gained = (of_users(records, baseline) - of_users(records, row)).mean(axis=0)
    return float((gained[trained_on(records) if users is None else users] > 0).mean())


def who(records: list[dict], row: str, users: np.ndarray) -> Interval | None:
    """The share of questions, user by user, in which the true reply is told from another person's; None: not asked."""
    right = _right(records, row)
    return bootstrap_mean(right[:, users]) if len(right) else None


def who_more(records: list[dict], row: str, baseline: str, users: np.ndarray | None = None) -> Interval:
    """How much larger that share is under a row than under another: paired by user and seed."""
    users = trained_on(records) if users is None else users
    return bootstrap_mean((_right(records, row) - _right(records, baseline))[:, users])


def _right(records: list[dict], row: str) -> np.ndarray:
    right = [_by_user(record, record["who"][row], None) for record in records if row in record["who"]]
    return np.array(right).reshape(-1, records[0]["people"]) / _by_user(
        records[0], [1] * len(records[0]["questions"]["user"]), None
    )


def people_table(records: list[dict], users: np.ndarray | None = None) -> str:
    """Every row on the real people's replies; of those who were trained on, or of others."""
    users = trained_on(records) if users is None else users
    letters, lines = sizes(records, "letters")[users].sum(), []
    for row, name in TABLE.items():
        if not len(of_users(records, row)):
            continue
        found, bits = of_users(records, row), of_users(records, row).mean(axis=0)[users].sum() / letters / math.log(2)
        gained = f"{told(better_by(records, OWN, row, users))}, {share(users_better(records, OWN, row, users))}"
        right = who(records, row, users)
        shown = "–" if right is None else f"{right.mean:.3f} [{right.low:.3f}, {right.high:.3f}]"
        cells = [f"{nats(records, row, users).mean:.3f}", f"{bits:.3f}", "–" if row == OWN else gained, shown]
        lines.append([f"**{name}**" if row == OWN else name, *cells, str(len(found))])
    head = ["", "nats per token ↓", "bits per character ↓", "crowd plug, own history, gains (nats); who gains"]
    return markdown([*head, "who wrote it? ↑", "trainings"], lines)


def verdict(records: list[dict], users: np.ndarray | None = None, kind: str = "people who were trained on") -> str:
    """What the records say, in sentences that are true whatever they hold."""
    users = trained_on(records) if users is None else users
    sentences = []
    for row, name in ((NONE, "the bare LLM"), (ANOTHERS, "another user's history"), (PROMPT_TUNING, "prompt tuning")):
        i, gaining = better_by(records, OWN, row, users), share(users_better(records, OWN, row, users))
        found = "better" if i.low > 0 else "worse" if i.high < 0 else "not shown to be better or worse"
        sentences.append(f"{found} than {name} ({i.mean:+.3f} [{i.low:+.3f}, {i.high:+.3f}], {gaining})")
    questions = np.bincount(records[0]["questions"]["user"], minlength=len(users))[users].sum()
    return (
        f"On {questions} replies of {users.sum()} {kind}, in {len(records)} trainings, the plug with a person's own "
        f"history is {'; '.join(sentences)}. In brackets: the nats per token gained on the true reply, their 95 % "
        "interval over people and trainings, and the share of people who gain."
    )


def replies_table(record: dict) -> str:
    """How near each row's own replies are to the true ones, from `asked.asked_to_write`."""
    found, lines = record["replies"], []
    for row, of in found.items():
        gained = bootstrap_mean(np.subtract(of["style"], found[OWN]["style"]))
        better = "–" if row == OWN else told(gained)
        values = [
            f"{np.mean(of['style']):.3f}",
            better,
            f"{np.mean(of['rouge1']):.3f}",
            f"{np.median(of['words']):.0f}",
        ]
        lines.append([TABLE[row], *values])
    lines.append(["the true replies", "–", "–", "–", f"{np.median(record['true words']):.0f}"])
    head = ["", "distance in habits ↓", "crowd plug, own history, nearer by", "ROUGE-1 ↑", "words (median)"]
    return markdown(head, lines)


def replies_line(record: dict) -> str:
    """Than whose replies those with the plug are farther from the true ones in habits, or nearer, in a sentence."""
    found, names = record["replies"], {}
    for row in (row for row in found if row != OWN):
        i = bootstrap_mean(np.subtract(found[row]["style"], found[OWN]["style"]))
        how = "nearer" if i.low > 0 else "farther" if i.high < 0 else "not shown to be nearer or farther"
        names.setdefault(how, []).append(f"*{TABLE[row]}*")
    said = "; ".join(f"{how} than those of {' and '.join(rows)}" for how, rows in names.items())
    return f"Replies of the crowd plug with a person's own history, compared in habits with the true ones: {said}."


def replies_record() -> dict:
    """The record of what each row answers."""
    return load_records(REPLIES_GROUP)[0]


def trainings_line(records: list[dict]) -> str:
    """What the two forms of the plug gain over prompt tuning in each training, in a sentence."""
    each = (f"{TABLE[row]} {in_each_training(records, row, PROMPT_TUNING)}" for row in (OWN, PAPER_OWN))
    return f"Nats per token gained over prompt tuning, each training alone: {'; '.join(each)}."


def cache_line(first: dict, cached: dict) -> str:
    """What a cache of a person's own words gains, in a sentence.

    Args:
        first: The record of the first training.
        cached: The record with a cache, of the same questions as far as it goes.
    """
    asked = cached["questions"]["user"]
    if first["questions"]["tokens"][: len(asked)] != cached["questions"]["tokens"]:
        raise ValueError("these records are of different questions: their rows cannot be paired")
    both = cached | {"nats": {row: each[: len(asked)] for row, each in first["nats"].items()} | cached["nats"]}
    gains = {
        name: told(better_by([both], f"{row}, {CACHED}", without))
        for row, name, without in ((NONE, "the bare LLM", NONE), (CROWD, "the crowd plug", OWN))
    }
    said = " and ".join(f"{gain} to {name}" for name, gain in gains.items())
    cache = "A cache counts a person's own words and mixes them into the LLM's next-token probabilities"
    return f"{cache}; how much was chosen on dev. In nats per token gained, it adds {said}."


def cache_record() -> dict:
    """The record with a cache of the own words."""
    return load_records(CACHE_GROUP)[0]


def length_lines(records: list[dict], row: str = PROMPT_TUNING) -> dict[int, Interval]:
    """What so many items of the history, the newest, gain over a row, and all of it: items → gain.

    Of users who have more than the most items, so that all points are of the same people.
    """
    many = trained_on(records) & (items(records) > max(LENGTHS))
    found = {n: better_by(records, newest_said(n), row, many) for n in LENGTHS}
    return found | {int(np.median(items(records)[many])): better_by(records, OWN, row, many)}


def turn_lines(records: list[dict], row: str) -> dict[int, Interval]:
    """What the own history gains over a row at a person's first, second, … reply of the test chat: turn → gain."""
    return {turn: better_by(records, OWN, row, turn=turn) for turn in sorted(set(records[0]["questions"]["turn"]))}


def tried_table(records: list[dict]) -> str:
    """What was compared on dev: nats per token of each variant with the own and with another user's history."""
    lines = [
        [row["what"], str(row["steps"]), *(f"{row[of]:.3f}" if of in row else "–" for of in ("own", "other")), asked]
        for record in records
        for row, asked in ((row, str(record.get("questions", "–"))) for row in record["rows"])
    ]
    head = ["variant", "steps × batch", "nats per token ↓, own history", f"{ANOTHERS} ↓", "dev questions"]
    return markdown(head, lines)


def task_records() -> list[dict]:
    """The records of the same LLM on other tasks: simulated users of LaMP's, and *who wrote it?* by answer."""
    return [record for record in load_records(VARIANTS) if "scores" in record]


def tasks_table(records: list[dict]) -> str:
    """The same LLM on other tasks: scores of its answers, and nats per token that the user's own history gains."""
    own, others = row_of(CROWD, OWN), row_of(CROWD, ANOTHERS)
    lines = []
    for record in records:
        metric, users = next(iter(record["scores"][NONE])), np.arange(record["people"])
        better = "↓" if metric in LOWER_IS_BETTER else "↑"
        name = f"{record['task']} ({'simulated' if record['simulated'] else 'real'} people), {metric} {better}"
        rows = (NONE, PROMPT_TUNING, row_of(PAPER, OWN), others, own)
        scores = [f"{np.mean(record['scores'][row][metric]):.3f}" for row in rows]
        gains = [told(better_by([record], own, row, users)) for row in (PROMPT_TUNING, others)]
        lines.append([name, *scores, *gains])
    plugs = [f"{PAPER}, {OWN}", f"crowd plug, {ANOTHERS}", f"crowd plug, {OWN}"]
    gained = [f"nats per token that it gains over {PROMPT_TUNING}", f"over {ANOTHERS}"]
    return markdown(["", "the bare LLM", PROMPT_TUNING, *plugs, *gained], lines)


def share(of: float) -> str:
    """A share of people in percent; only all of them are 100%."""
    return f"{of:.1%}" if of < 1 and f"{of:.0%}" == "100%" else f"{of:.0%}"


def told(i: Interval) -> str:
    """An interval in words; ∅ marks one that includes zero."""
    mark = "" if i.excludes_zero else " ∅"
    return f"{i.mean:+.3f} [{i.low:+.3f}, {i.high:+.3f}]{mark}"
