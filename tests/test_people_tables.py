"""Records of real people → numbers: sums over users and seeds, by hand."""

import numpy as np
import pytest

from pplug.study import people_tables as tables
from pplug.study.asked import ANOTHERS, CACHED, LENGTHS, NONE, OWN, newest_said
from pplug.study.people import CROWD, IN_WORDS, PAPER, PROMPT_TUNING
from pplug.study.people_variants import row_of

GAINS = np.array([1.0, 0, 2, -1, 0.5])  # of each question
USERS, ITEMS = [0, 0, 1, 2, 3], [60, 60, 50, 3, 0]  # three were trained on; the last is a newcomer
NEWCOMER = np.array([False, False, False, True])


def record(seed: int) -> dict:
    """Two questions of the first user, one of each other; what the own history gains over prompt tuning is `GAINS`."""
    own = np.array([4.0, 6, 20, 30, 8]) + seed
    nats = dict.fromkeys(tables.TABLE, own + 9)
    nats |= {OWN: own, PROMPT_TUNING: own + GAINS, ANOTHERS: own + 3, NONE: own + 9}
    nats |= {newest_said(n): own + GAINS - n / 40 for n in LENGTHS}
    who = {row: [1, 0, 1, 0, 1] for row in (PROMPT_TUNING, ANOTHERS, NONE)} | {OWN: [1, 1, 1, 0, 1]}
    sizes = {"tokens": [2, 3, 10, 15, 4], "letters": [8, 12, 40, 60, 16], "turn": [1, 2, 1, 1, 1]}
    return {
        "seed": seed,
        "people": 4,
        "trained_on": 3,
        "questions": {"user": USERS, "items": ITEMS, **sizes},
        "nats": {row: list(each) for row, each in nats.items()},
        "who": who,
    }


RECORDS = [record(0), record(1)]
KNOWN = ~NEWCOMER


def test_nats_are_per_token_over_all_users_and_seeds():
    assert tables.nats(RECORDS, OWN, KNOWN).mean == pytest.approx((60 + 64) / 2 / 30)
    assert tables.nats(RECORDS, OWN, NEWCOMER).mean == pytest.approx(8.5 / 4)


def test_a_gain_is_paired_and_positive_when_better():
    assert tables.better_by(RECORDS, OWN, PROMPT_TUNING).mean == pytest.approx(2 / 30), "of those trained on"
    assert tables.better_by(RECORDS, PROMPT_TUNING, OWN).mean == pytest.approx(-2 / 30)
    assert tables.better_by(RECORDS, OWN, PROMPT_TUNING, np.array([0, 1])).mean == pytest.approx(3 / 15)
    assert tables.better_by(RECORDS, OWN, PROMPT_TUNING, NEWCOMER).mean == pytest.approx(0.5 / 4)
    assert tables.users_better(RECORDS, OWN, PROMPT_TUNING) == pytest.approx(2 / 3)


def test_each_training_alone():
    other = record(1)
    other["nats"][OWN] = list(np.array(other["nats"][OWN]) + 1)
    assert tables.in_each_training([record(0), other], OWN, PROMPT_TUNING) == "+0.067, -0.067"
    assert "crowd plug, own history +0.067, -0.067; PPlug, own history" in tables.trainings_line([record(0), other])


def test_who_wrote_it_counts_users_alike():
    assert tables.who(RECORDS, PROMPT_TUNING, KNOWN).mean == pytest.approx((0.5 + 1 + 0) / 3)
    assert tables.who_more(RECORDS, OWN, PROMPT_TUNING).mean == pytest.approx(0.5 / 3)
    assert tables.who(RECORDS, tables.SHUFFLED, KNOWN) is None


def test_shortened_histories_are_of_users_with_long_ones():
    found = tables.length_lines(RECORDS)
    assert list(found) == [*LENGTHS, 55]
    assert found[0].mean == pytest.approx(0) and found[20].mean == pytest.approx(3 * 0.5 / 15)
    assert found[55].mean == pytest.approx(3 / 15), "of all users with more items than the longest cut"


def test_turns_are_those_who_got_so_far():
    found = tables.turn_lines(RECORDS, PROMPT_TUNING)
    assert found[1].mean == pytest.approx((1 + 2 - 1) / 27) and found[2].mean == pytest.approx(0 / 3)


def test_newcomers_by_their_items():
    assert tables.newcomers(RECORDS, 0, 0).tolist() == NEWCOMER.tolist()
    assert not tables.newcomers(RECORDS, 1, 60).any()


def test_records_of_other_questions_cannot_be_paired():
    other = record(1)
    other["questions"]["tokens"] = [2, 3, 10, 16, 4]
    with pytest.raises(ValueError, match="of different questions"):
        tables.sizes([record(0), other])


def test_the_tables_say_what_the_numbers_say():
    told = tables.people_table(RECORDS)
    assert "| **crowd plug, own history** | 2.067 |" in told
    assert "2.467 | 0.890 | +0.400 [" in told and ", 67%" in told, "12 nats of 30 tokens; two of three users"
    rows = [{"what": "a plug", "steps": "3 × 4", "own": 3.6, "other": 3.7}, {"what": "b", "steps": "3 × 4", "own": 3.5}]
    assert "| a plug | 3 × 4 | 3.600 | 3.700 |" in tables.tried_table([{"rows": rows}])


def test_replies_are_compared_person_by_person():
    near = {"style": [0.5, 0.7], "rouge1": [0.2, 0.4], "words": [3, 9]}
    far = {"style": [0.7, 0.9], "rouge1": [0.1, 0.1], "words": [20, 30]}
    record = {"replies": {NONE: far, OWN: near}, "true words": [8, 10]}
    assert tables.replies_line(record).endswith("with the true ones: nearer than those of *the bare LLM*.")
    other = {"replies": {OWN: far, NONE: near, PROMPT_TUNING: far}, "true words": [8, 10]}
    said = "farther than those of *the bare LLM*; not shown to be nearer or farther than those of *prompt tuning*."
    assert tables.replies_line(other).endswith(said)
    told = tables.replies_table(record)
    assert "| the bare LLM | 0.800 | +0.200 [+0.200, +0.200] | 0.100 | 25 |" in told
    assert (
        "| crowd plug, own history | 0.600 | – | 0.300 | 6 |" in told and "| the true replies | – | – | – | 9 |" in told
    )


def test_the_verdict_follows_the_intervals():
    told = tables.verdict(RECORDS)
    assert "On 4 replies of 3 people who were trained on, in 2 trainings" in told
    assert "better than the bare LLM (+1.200" in told and "better than another user's history (+0.400" in told
    assert "not shown to be better or worse than prompt tuning (+0.067 [" in told
    worse = [r | {"nats": r["nats"] | {NONE: list(np.array(r["nats"][OWN]) - 1)}} for r in RECORDS]
    assert "is worse than the bare LLM (-0.133" in tables.verdict(worse)
    assert [tables.share(of) for of in (1.0, 380 / 381, 0.6, 0.0)] == ["100%", "99.7%", "60%", "0%"]


def test_the_committed_records_are_there():
    records = tables.people_records()
    missing = set(tables.TABLE) - set(records[0]["nats"])
    assert {r["seed"] for r in records} == {0, 1, 2} and missing <= {f"{CROWD}, {said}" for said in IN_WORDS}
    assert all(r["split"] == "dev" for r in tables.tried_records())
    assert {r["task"] for r in tables.task_records()} >= {"LaMP-2", "LaMP-3", "LaMP-4", "chat-who"}


def test_a_row_that_no_record_has_is_left_out():
    fewer = [r | {"nats": {row: each for row, each in r["nats"].items() if row != tables.SHUFFLED}} for r in RECORDS]
    whole, cut = tables.people_table(RECORDS).splitlines(), tables.people_table(fewer).splitlines()
    assert [line for line in whole if "shuffled" not in line] == cut and len(cut) == len(whole) - 1


def test_a_cache_is_compared_with_the_same_questions():
    first, known = record(0), slice(0, 4)  # without the newcomer
    cached = first | {"people": 3, "questions": {what: each[known] for what, each in first["questions"].items()}}
    added = {NONE: 1.5, CROWD: 0.3}
    plain = {NONE: first["nats"][NONE], CROWD: first["nats"][OWN]}
    cached["nats"] = {f"{row}, {CACHED}": [n - added[row] for n in plain[row][known]] for row in plain}
    line = tables.cache_line(first, cached)
    assert "adds +0.200 [" in line and "and +0.040 [" in line  # 6 and 1.2 of 30 tokens
    cached["questions"]["tokens"] = [2, 3, 10, 16]
    with pytest.raises(ValueError, match="different questions"):
        tables.cache_line(first, cached)


def test_another_task_is_scored_and_compared():
    own, others = row_of(CROWD, OWN), row_of(CROWD, ANOTHERS)
    told = record(0) | {"task": "LaMP-3", "simulated": True}
    told["nats"] |= {own: told["nats"][OWN], others: told["nats"][ANOTHERS]}
    rows = (NONE, PROMPT_TUNING, row_of(PAPER, OWN), others, own)
    told["scores"] = {row: {"mae": [float(n)] * 5} for n, row in enumerate(rows)}
    cells = [cell.strip() for cell in tables.tasks_table([told]).splitlines()[-1].split("|")[1:-1]]
    assert cells[:6] == ["LaMP-3 (simulated people), mae ↓", "0.000", "1.000", "2.000", "3.000", "4.000"]
    assert cells[6].startswith("+0.074 [") and cells[7].startswith("+0.441 [")  # 2.5 and 15 of 34 tokens
