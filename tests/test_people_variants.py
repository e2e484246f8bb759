"""The study's training with other encoders, poolings and tasks, on invented chats and a tiny LLM."""

from dataclasses import replace

import numpy as np
import pytest

from pplug.study import people, people_variants
from pplug.study.asked import ANOTHERS, NONE, OWN
from pplug.study.people import CROWD, PAPER, PROMPT_TUNING
from pplug.study.people_variants import POOLED, row_of


@pytest.fixture
def told(chatting, monkeypatch):
    monkeypatch.setattr(people_variants, "PROFILE", people.PROFILE)
    monkeypatch.setattr(people_variants, "SHORT", (1, 1, 3))
    monkeypatch.setattr(people_variants, "TASKS", (1, 1, 4))
    return [].append


def test_encoders_are_compared_on_people_who_are_trained_on(chatting, told, monkeypatch):
    names = (people.PROFILE.encoder, people.PROFILE.encoder.removesuffix("+style"))
    monkeypatch.setattr(people_variants, "ENCODERS", names)
    found = people_variants.encoders_compared(told)
    rows = {row_of(f"{form}, {name}", whose) for form in (CROWD, PAPER) for name in names for whose in (OWN, ANOTHERS)}
    assert set(found["nats"]) == rows | {PROMPT_TUNING} and found["people"] == found["trained_on"]
    known = set(chatting.users("train"))
    assert len(found["questions"]["user"]) == sum(user in known for user in chatting.users("test"))
    one, other = (found["nats"][row_of(f"{PAPER}, {name}", OWN)] for name in names)
    assert one != other, "the encoders' vectors differ"
    assert set(found["dev"]) == {"1"} and len(found["dev"]["1"]) == 5


def test_poolings_are_equal_in_size(chatting, told):
    models = [people.made_plug(chatting.data, choices, 0) for choices in POOLED.values()]
    assert {model.plug.tokens for model in models} == {5} and len(models) == 8
    found = people_variants.poolings_compared(chatting, told)
    assert set(found["nats"]) == {row_of(name, whose) for name in POOLED for whose in (OWN, ANOTHERS)} | {PROMPT_TUNING}


def test_a_task_is_asked_and_scored(told, monkeypatch, chatting):
    small = replace(people.DEFAULT, n_users=20)
    monkeypatch.setattr(people, "DEFAULT", small)
    some = people.simulated_people("LaMP-3")
    assert some.data.task.name == "LaMP-3" and len(set(some.users("test"))) == 20
    found = people_variants.task_asked(some, told)
    rows = {NONE, PROMPT_TUNING, row_of(CROWD, OWN), row_of(CROWD, ANOTHERS), row_of(PAPER, OWN)}
    assert set(found["scores"]) == rows and found["simulated"]
    assert [found[size] for size in ("first", "steps", "batch_size")] == [1, 1, 4]
    assert {len(each) for row in found["scores"].values() for each in row.values()} == {len(some.questions["test"])}
    assert np.isfinite(sum(map(sum, found["nats"].values())))
