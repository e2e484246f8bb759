"""Records of the study of real people: each question's likelihood under every row, on invented chats."""

import json

import numpy as np
import pytest

from pplug.method import target_nats, token_nats
from pplug.rivals.ngram_cache import NgramCache
from pplug.study import asked, people
from pplug.study.people import CHOICES, CROWD, PAPER, PROMPT_TUNING, SHUFFLED, WORDED, WORDED_CROWD


def made(chatting, row: str):
    model = people.made_plug(chatting.data, CHOICES[row], 0)
    if row in (CROWD, SHUFFLED, WORDED_CROWD):
        model.plug.projector.learn_crowd([e.history for e in chatting.examples["train"]])
        model.plug.projector.last.weight.data.normal_()
    return model


@pytest.fixture(scope="module")
def found(chatting) -> dict:
    return asked.asked_on_test(chatting, {row: made(chatting, row) for row in CHOICES}, 0)


def test_a_record_holds_each_questions_nats(chatting, found):
    nats, tokens = target_nats(made(chatting, CROWD), chatting.examples["test"])
    np.testing.assert_allclose(found["nats"][asked.OWN], nats, atol=6e-3)
    assert found["questions"]["tokens"] == tokens.tolist()
    for name, values in found["questions"].items():
        assert len(values) == len(tokens), name
    assert found["questions"]["letters"] == [len(q["output"]) for q in chatting.questions["test"]]
    assert found["trained_on"] == len(set(chatting.users("train"))) < found["people"]
    places = dict(zip(chatting.users("test"), found["questions"]["user"], strict=True))
    assert sorted(places.values()) == list(range(found["people"]))
    assert found["questions"]["turn"][:3] == [1, 2, 3]
    json.dumps(found)
    assert asked.OWN in asked.summary(found)


def test_every_row_is_asked(found):
    lengths = {asked.newest_said(n) for n in asked.LENGTHS}
    pairs = {asked.OWN, asked.ANOTHERS, PROMPT_TUNING, asked.PAPER_OWN, asked.PAPER_ANOTHERS}
    assert set(found["nats"]) == pairs | lengths | {SHUFFLED} and set(found["who"]) > pairs
    assert found["nats"][asked.OWN] != found["nats"][asked.ANOTHERS] != found["nats"][SHUFFLED]
    assert {value for row in found["who"].values() for value in row} <= {0, 1}


def test_who_wrote_it_compares_by_token(chatting, found):
    model = made(chatting, CROWD)
    true, false = (
        [n / t for n, t in zip(*target_nats(model, some), strict=True)]
        for some in (chatting.examples["test"], chatting.anothers_replies)
    )
    clear = np.abs(np.array(true) - false) > 1e-4
    assert (np.array(found["who"][asked.OWN])[clear] == (np.array(true) < false)[clear]).all() and clear.any()


def test_another_persons_history_is_one(chatting):
    users, own = chatting.users("test"), chatting.examples["test"]
    whose = {user: example.history for user, example in zip(users, own, strict=True)}
    others = asked.anothers_histories(chatting, 0)
    assert any(not len(example.history) for example in own), "someone here is without a history"
    for user, mine, theirs in zip(users, own, others, strict=True):
        assert bool(len(mine.history)) == bool(len(theirs.history)) and mine.target_ids == theirs.target_ids
        if len(mine.history):
            assert any(np.array_equal(theirs.history, whose[other]) for other in whose if other != user)


def test_a_history_is_shortened_to_its_newest_items(chatting):
    example = next(e for e in chatting.examples["test"] if len(e.history) > 2)
    assert np.array_equal(asked._newest(example, 2).history, example.history[-2:])
    assert len(asked._newest(example, 0).history) == 0
    assert len(asked._newest(example, 999).history) == len(example.history)


def test_the_bare_llm_and_the_person_in_words(chatting):
    found = asked.asked_in_words(chatting, {row: made(chatting, row) for row in (WORDED, WORDED_CROWD)})
    ways = [*chatting.in_words("test")]
    said = [f"{plug}, {way}" for plug in (PROMPT_TUNING, CROWD) for way in ways]
    assert set(found["nats"]) == {asked.NONE, *ways, *said}
    assert list(found["who"]) == [asked.NONE] and PAPER not in found["nats"]


def test_a_cache_of_the_own_words_is_mixed_into_each_token(chatting):
    model = made(chatting, PROMPT_TUNING)
    found = asked.asked_with_cache(chatting, {PROMPT_TUNING: model, asked.NONE: people.bare_llm()})
    (row, bare), share = found["nats"], found["shares"][PROMPT_TUNING]
    assert bare == f"{asked.NONE}, {asked.CACHED}" and found["nats"][bare] != found["nats"][row]
    alone = target_nats(model, chatting.examples["test"])[0]
    for nats, mixed, items in zip(alone, found["nats"][row], found["questions"]["items"], strict=True):
        assert mixed == pytest.approx(nats, abs=6e-3) if not items else mixed != nats
    tokenizer = people.get_llm(people.PROFILE.llm)[1]
    number = next(n for n, example in enumerate(chatting.examples["test"]) if len(example.history))
    question, example = chatting.questions["test"][number], chatting.examples["test"][number]
    texts = [chatting.data.items[place]["reply"] for place in question["profile"]]
    cache = NgramCache([people.target_ids(tokenizer, text, False) for text in texts])
    (each,) = token_nats(model, [example])
    mixed = (1 - share) * np.exp(-each) + share * cache.likelihood(example.target_ids)
    assert found["nats"][row][number] == pytest.approx(-np.log(mixed).sum(), abs=6e-3)


def test_what_is_written_is_measured_and_dropped(chatting):
    found = asked.asked_to_write(chatting, {row: made(chatting, row) for row in (CROWD, PROMPT_TUNING)}, 0)
    known = set(chatting.users("train"))
    assert set(found["replies"]) == {asked.NONE, PROMPT_TUNING, asked.ANOTHERS, asked.OWN}
    for row in found["replies"].values():
        assert all(len(row[name]) == len(known) for name in ("style", "rouge1", "words"))
        assert min(row["style"]) >= 0 and min(row["rouge1"]) >= 0 and max(row["rouge1"]) <= 1
    first = {q["user_id"]: q for q in reversed(chatting.questions["test"])}
    assert sorted(found["true words"]) == sorted(len(first[user]["output"].split()) for user in known)
    assert not any(
        isinstance(value, str) for row in found["replies"].values() for some in row.values() for value in some
    )
