"""The study of real people, here on invented chats and a tiny LLM: what is trained, on what, and once."""

import numpy as np
import pytest
import torch

from pplug.method import nats_together
from pplug.method.together import soft_prompts
from pplug.study import people
from pplug.study.people import CROWD, PAPER, PROMPT_TUNING, SHUFFLED, WORDED, WORDED_CROWD


def test_everyone_is_asked_and_newcomers_are_not_trained_on(chatting):
    trained_on, asked = chatting.users("train"), list(dict.fromkeys(chatting.users("test")))
    assert set(trained_on) < set(asked) and asked[: len(set(trained_on))] == sorted(set(trained_on))


def test_another_persons_reply_stands_where_the_true_one_did(chatting):
    tokenizer = people.get_llm(people.PROFILE.llm)[1]
    pairs = zip(chatting.examples["test"], chatting.anothers_replies, chatting.questions["test"], strict=True)
    for true, false, question in pairs:
        assert true.before_ids == false.before_ids and true.target_ids != false.target_ids
        assert true.target_ids == people.target_ids(tokenizer, question["output"], False)


def test_every_row_is_trained_on_the_same_questions(chatting):
    own = chatting.given("train", CROWD, 0)
    shuffled, worded = (chatting.given("train", row, 0) for row in (SHUFFLED, WORDED))
    assert own is chatting.given("train", PROMPT_TUNING, 1), "one list, so that its histories are put together once"
    assert chatting.given("dev", SHUFFLED, 0) is chatting.examples["dev"]
    both = zip(worded, chatting.given("train", WORDED_CROWD, 0), strict=True)
    assert all(a.before_ids == b.before_ids for a, b in both), "what stands in the prompt is no difference of theirs"
    for other in (shuffled, worded):
        assert [e.target_ids for e in other] == [e.target_ids for e in own]
    assert [e.before_ids for e in shuffled] == [e.before_ids for e in own]
    assert all(len(a.before_ids) >= len(b.before_ids) for a, b in zip(worded, own, strict=True))
    assert any(not np.array_equal(a.history, b.history) for a, b in zip(shuffled, own, strict=True))


def test_a_person_in_words_stands_in_front_of_the_message(chatting):
    tokenizer = people.get_llm(people.PROFILE.llm)[1]
    worded, plain = chatting.in_words("test"), chatting.examples["test"]
    assert list(worded) == ["1 item in the prompt", "4 items in the prompt", people.HABITS_SAID]
    row = next(n for n, example in enumerate(plain) if len(example.history) > 4)
    lengths = [len(some[row].before_ids) for some in worded.values()]
    assert len(plain[row].before_ids) < lengths[0] < lengths[1] and lengths[2] > len(plain[row].before_ids)
    newcomer = next(n for n, example in enumerate(plain) if not len(example.history))
    assert all(some[newcomer].before_ids == plain[newcomer].before_ids for some in worded.values())
    assert all(not some[row].input_ids for some in worded.values()) and tokenizer is not None


def test_plugs_begin_from_prompt_tuning_are_trained_once_and_kept_in_half_precision(chatting, monkeypatch):
    lines, rows = [], [(CROWD, 0), (PAPER, 0), (PROMPT_TUNING, 0), (SHUFFLED, 0)]
    done = people.trained(chatting, rows, lines.append)
    assert list(done.models) == rows and len(lines) == 4  # of each training its one step, and its end
    again = people.trained(chatting, rows, lines.append)
    assert len(lines) == 4 and again.curves == done.curves
    for key, model in done.models.items():
        for name, value in model.plug.state_dict().items():
            assert np.array_equal(value, again.models[key].plug.state_dict()[name]), (key, name)
            assert np.array_equal(value, value.half().float()), (key, name)
    assert len({model.plug.tokens for model in done.models.values()}) == 1, "equal in size"
    assert all(len(curve) == 1 for curve in done.curves["losses"].values())
    nats, tokens = nats_together([done.models[CROWD, 0]], [chatting.examples["dev"]])
    assert done.curves["dev"]["1"][0] == pytest.approx(nats.sum() / tokens.sum(), rel=1e-2)  # half precision since
    monkeypatch.setattr(people, "train_together", lambda models, *_, **__: [[0.0]] * len(models))
    first = people.prompt_tunings(chatting, [0], lines.append)[0]
    monkeypatch.setattr(people, "BATCH", 5)  # another training, of which nothing is kept
    begun = people.trained(chatting, rows, lines.append).models
    example = chatting.examples["test"][:1]
    wanted = soft_prompts([first], [example])[0]
    for key, model in begun.items():
        torch.testing.assert_close(soft_prompts([model], [example])[0], wanted, atol=2e-2, rtol=2e-2, msg=str(key))
