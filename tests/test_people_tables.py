"""Records of real people → numbers: sums over users and seeds, by hand."""

import numpy as np
import pytest

from pplug.study import people_tables as tables
from pplug.study.people import ANOTHERS, NONE, OWN, PROMPT_TUNING

GAINS = np.array([1.0, 2, -1])


def record(seed: int) -> dict:
    """Three users; the own history is better than prompt tuning by 1, 2 and -1 nats, whatever the seed."""
    own = np.array([10.0, 20, 30]) + seed
    nats = {OWN: own, PROMPT_TUNING: own + GAINS, ANOTHERS: own + 3, NONE: own + 9}
    nats |= {f"{n} items": own + GAINS - n / 40 for n in tables.LENGTHS} if seed == 0 else {}
    who = {row: [1, 2, 0] for row in (OWN, PROMPT_TUNING, ANOTHERS, NONE)}
    sizes = {"tokens": [5, 10, 15], "letters": [20, 40, 60], "questions": [2, 2, 2], "items": [60, 50, 3]}
    return {"seed": seed, "nats": {row: list(each) for row, each in nats.items()}, "who": who, **sizes}


RECORDS = [record(0), record(1)]


def test_nats_are_per_token_over_all_users_and_seeds():
    assert tables.nats(RECORDS, OWN).mean == pytest.approx((60 + 63) / 2 / 30)


def test_a_gain_is_paired_and_positive_when_better():
    assert tables.better_by(RECORDS, OWN, PROMPT_TUNING).mean == pytest.approx(2 / 30)
    assert tables.better_by(RECORDS, PROMPT_TUNING, OWN).mean == pytest.approx(-2 / 30)
    assert tables.better_by(RECORDS, OWN, PROMPT_TUNING, np.array([0, 1])).mean == pytest.approx(3 / 15)
    assert tables.users_better(RECORDS, OWN, PROMPT_TUNING) == pytest.approx(2 / 3)


def test_who_wrote_it_counts_users_alike():
    assert tables.who(RECORDS, OWN).mean == pytest.approx((0.5 + 1 + 0) / 3)


def test_shortened_histories_are_of_users_with_long_ones():
    found = tables.length_lines(RECORDS)
    assert list(found) == [*tables.LENGTHS, 55]
    assert found[0].mean == pytest.approx(0) and found[20].mean == pytest.approx(2 * 0.5 / 15)
    assert found[55].mean == pytest.approx(3 / 15), "of all users with more items than the longest cut"


def test_records_of_other_questions_cannot_be_paired():
    with pytest.raises(ValueError, match="of different questions"):
        tables.sizes([record(0), record(1) | {"tokens": [5, 10, 16]}])


def test_the_tables_say_what_the_numbers_say():
    told = tables.people_table(RECORDS)
    assert "| **crowd plug, own history** | 2.050 |" in told
    assert "2.350 | 0.848 | +0.300 [" in told and ", 67%" in told, "9 nats of 30 tokens; two of three users"
    rows = [{"what": "a plug", "steps": "3 × 4", "own": 3.6, "other": 3.7}, {"what": "b", "steps": "3 × 4", "own": 3.5}]
    assert "| a plug | 3 × 4 | 3.600 | 3.700 |" in tables.tried_table({"rows": rows})


def test_the_verdict_follows_the_intervals():
    told = tables.verdict(RECORDS)
    assert "On 6 replies of 3 people, in 2 trainings" in told
    assert "better than the bare LLM (+0.900" in told and "better than another user's history (+0.300" in told
    assert "not shown to be better or worse than prompt tuning (+0.067 [" in told
    worse = [r | {"nats": r["nats"] | {NONE: list(np.array(r["nats"][OWN]) - 1)}} for r in RECORDS]
    assert "is worse than the bare LLM (-0.100" in tables.verdict(worse)


def test_the_committed_records_are_there():
    assert {r["seed"] for r in tables.people_records()} == {0, 1, 2} and tables.tried_record()["split"] == "dev"
