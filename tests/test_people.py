"""The study of real people, here on invented chats and a tiny LLM: who is asked what, and what a record says."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
from chitchat import made_chats

from pplug.method import target_nats
from pplug.sources import chat
from pplug.study import experiment, people


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The chats of four people, a tiny LLM with its first layer and the habits as encoder, and one training step."""
    folder = tmp_path_factory.mktemp("people")
    (folder / "dataset.json").write_text(json.dumps(made_chats()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat, "FEWEST_REPLIES", 10)
        chat.write_chats(folder / "dataset.json", folder / "chats")
        llm = str(tiny.save_llm("llama", folder / "llm", chat=True))
        patch.setattr(experiment, "chat_folder", lambda task: folder / "chats" / task)
        patch.setattr(people, "PROFILE", replace(people.PROFILE, llm=llm, encoder=f"{llm}:1+style"))
        patch.setattr(people, "STEPS", 1), patch.setattr(people, "BATCH", 4)
        yield people.prepared_people()


def test_each_person_is_asked_as_often_and_newcomers_are_not(asked):
    counts = {user: asked.users["test"].count(user) for user in asked.users["test"]}
    assert counts == dict.fromkeys(set(asked.users["train"]), people.QUESTIONS)


def test_another_persons_reply_stands_where_the_true_one_did(asked):
    tokenizer = people.get_llm(people.PROFILE.llm)[1]
    for true, false, gold in zip(asked.test, asked.anothers_replies, asked.golds, strict=True):
        assert true.before_ids == false.before_ids and true.target_ids != false.target_ids
        assert true.target_ids == people.target_ids(tokenizer, gold, False)


def test_plugs_are_trained_once(asked):
    lines = []
    models = people.trained(asked, lines.append)
    assert list(models) == people.ROWS and len(lines) == 2
    again = people.trained(asked, lines.append)
    assert len(lines) == 2
    for key, model in models.items():
        for name, value in model.plug.state_dict().items():
            assert np.array_equal(value, again[key].plug.state_dict()[name]), (key, name)
    crowd, tuned = models[people.CROWD, 0].plug, models[people.PROMPT_TUNING, 0].plug
    assert crowd.tokens == tuned.tokens and crowd.config.user and not tuned.config.user


def test_a_record_holds_sums_over_each_users_questions(asked):
    models = {name: people.made_plug(asked.data, name, 0) for name in people.CHOICES}
    models[people.CROWD].plug.projector.learn_crowd([e.history for e in asked.training])
    models[people.CROWD].plug.projector.last.weight.data.normal_()
    found = people.asked_on_test(asked, models, 0)
    names = list(dict.fromkeys(asked.users["test"]))
    nats, tokens = target_nats(models[people.CROWD], asked.test)
    for place, name in enumerate(names):
        mine = [row for row, user in enumerate(asked.users["test"]) if user == name]
        assert found["nats"][people.OWN][place] == pytest.approx(nats[mine].sum(), abs=2e-3)
        assert found["tokens"][place] == tokens[mine].sum() and found["questions"][place] == len(mine)
        assert found["letters"][place] == sum(len(asked.golds[row]) for row in mine)
        assert found["items"][place] == len(asked.test[mine[0]].history)
    assert found["nats"][people.OWN] != found["nats"][people.ANOTHERS]
    assert {people.NONE, f"{people.LENGTHS[0]} items"} < set(found["nats"]) and people.PROMPT_TUNING in found["who"]
    assert set(people.asked_on_test(asked, models, 1)["nats"]) == {people.OWN, people.ANOTHERS, people.PROMPT_TUNING}
    assert all(0 <= n <= q for row in found["who"].values() for n, q in zip(row, found["questions"], strict=True))
    json.dumps(found)
    assert people.OWN in people.summary(found)


def test_a_history_is_shortened_to_its_newest_items(asked):
    example = next(e for e in asked.test if len(e.history) > 2)
    assert np.array_equal(people._newest(example, 2).history, example.history[-2:])
    assert len(people._newest(example, 0).history) == 0
    assert len(people._newest(example, 999).history) == len(example.history)
