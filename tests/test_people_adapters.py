"""LoRA for each of some people, on invented chats and a tiny LLM."""

from itertools import pairwise

import numpy as np
import pytest

from pplug.method import target_nats
from pplug.study import people, people_adapters
from pplug.study.people import CHOICES, PROMPT_TUNING


def test_each_person_has_her_own_parameters(chatting, monkeypatch):
    for name, value in (("TESTED", 2), ("TRIED_ON", 1), ("LEAST", 2), ("RATES", (1e-2, 1e-1))):
        monkeypatch.setattr(people_adapters, name, value)
    tuned, lines = people.made_plug(chatting.data, CHOICES[PROMPT_TUNING], 0), []
    before, whole = [target_nats(tuned, chatting.examples["test"])[0] for _ in range(2)]
    found = people_adapters.asked_with_adapters(chatting, tuned, lines.append)
    assert np.array_equal(target_nats(tuned, chatting.examples["test"])[0], before), "the LLM is as it was"
    assert len(found["users"]) == len(set(found["users"])) == 2 and len(lines) == 3
    names = list(dict.fromkeys(chatting.users("test")))
    known = set(chatting.users("train"))
    for number, place in enumerate(found["users"]):
        user = names[place]
        own = [row for row, who in enumerate(chatting.users("test")) if who == user]
        assert found["nats"][PROMPT_TUNING][number] == pytest.approx(whole[own].sum(), abs=1e-2) and user in known
        assert found["tokens"][number] == sum(len(chatting.examples["test"][row].target_ids) for row in own)
    nats = list(found["nats"].values())
    assert all(a != b for one, other in pairwise(nats) for a, b in zip(one, other, strict=True))
    assert set(found["rates"]) == {"0.01", "0.1"} and found["bytes"] > 0 and found["seconds"] > 0
