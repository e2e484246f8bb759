"""A user's own parameters: installed they change nothing, trained they are the only thing that changes, and they go."""

import pytest
import tiny
import torch

from pplug.data.loading import load
from pplug.method.batches import collate
from pplug.method.model import build
from pplug.offline.simulate import simulate
from pplug.rivals.per_user import METHODS, fit_user, installed, own_examples, prepare_own, swap_in, train_user

QUIET = [method for method in METHODS if method != "soft prompt"]  # at first they add nothing


@pytest.fixture
def tuned(llm):
    torch.manual_seed(0)
    return build(*llm, tiny.MadeUpEncoder(), user=False).eval()


def answer(model) -> torch.Tensor:
    with torch.no_grad():
        return model(**collate(model, tiny.examples(model, 3)))["logits"]


@pytest.mark.parametrize("method", METHODS)
def test_the_llm_is_as_before_when_they_are_gone(tuned, method):
    before, logits = tiny.weight_hash(tuned.llm), answer(tuned)
    with installed(tuned, method) as parameters:
        train_user(tuned, parameters, tiny.examples(tuned, 4), 0.1, seed=0)
    assert tiny.weight_hash(tuned.llm) == before and torch.equal(answer(tuned), logits)
    assert not any(p.requires_grad for p in tuned.llm.parameters())


@pytest.mark.parametrize("method", QUIET)
def test_new_ones_change_nothing(tuned, method):
    logits = answer(tuned)
    with installed(tuned, method):
        assert torch.allclose(answer(tuned), logits, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_training_changes_them_alone_and_the_answers(tuned, method):
    with installed(tuned, method) as parameters:
        logits = answer(tuned)
        held = {id(p) for p in parameters.values()}
        others = {name: p.clone() for name, p in tuned.llm.named_parameters() if id(p) not in held}
        train_user(tuned, parameters, tiny.examples(tuned, 4), 0.1, seed=0)
        assert not torch.allclose(answer(tuned), logits, atol=1e-3)
        now = dict(tuned.llm.named_parameters())
        assert others and all(torch.equal(now[name], p) for name, p in others.items())


def test_users_do_not_depend_on_who_came_before_and_are_trained_once(tuned, tmp_path, monkeypatch):
    theirs = {name: tiny.examples(tuned, 6)[start : start + 3] for name, start in (("a", 0), ("b", 3))}
    with installed(tuned, "LoRA") as parameters:
        fresh = {name: p.detach().clone() for name, p in parameters.items()}

        seconds = {}

        def fitted(user: str, folder: str) -> list[torch.Tensor]:
            file = tmp_path / folder / f"{user}.safetensors"
            seconds[file] = fit_user(tuned, parameters, fresh, theirs[user], 0.05, file, seed=0)
            return [p.detach().clone() for p in parameters.values()]

        first = {user: fitted(user, "one") for user in ("a", "b")}
        second = {user: fitted(user, "two") for user in ("b", "a")}
        for user in theirs:
            assert all(torch.equal(x, y) for x, y in zip(first[user], second[user], strict=True))
        assert not all(torch.equal(x, y) for x, y in zip(first["a"], first["b"], strict=True))
        monkeypatch.setattr("pplug.rivals.per_user.train_user", lambda *_: pytest.fail("trained again"))
        took = dict(seconds)
        assert all(torch.equal(x, y) for x, y in zip(first["a"], fitted("a", "one"), strict=True))
        assert seconds == took and all(took.values())  # the cost of a user stays what it was, also in a later run


def test_a_user_without_texts_keeps_the_new_ones(tuned):
    with installed(tuned, "LoRA") as parameters:
        before = {name: p.detach().clone() for name, p in parameters.items()}
        train_user(tuned, parameters, [], 0.1, seed=0)
        assert all(torch.equal(before[name], p) for name, p in parameters.items())
        with pytest.raises(KeyError):
            swap_in(parameters, {})


@pytest.mark.parametrize("task", ["LaMP-4", "LaMP-7"])
def test_they_are_trained_on_the_users_own_earlier_texts(tmp_path, task, tuned):
    data = load(simulate(tmp_path, task, 4, seed=1), task)
    example = data.splits["test"].to_list()[1]
    pairs = own_examples(data, example)
    if task == "LaMP-4":
        assert [answer for _, answer in pairs] == [data.items[row]["title"] for row in example["profile"]]
    else:
        own = [row for row in data.splits["train"] if row["user_id"] == example["user_id"]]
        assert [answer for _, answer in pairs] == [row["output"] for row in own] and pairs
    assert example["input"] not in {text for text, _ in pairs}
    ready = prepare_own(tuned, pairs)
    assert all(e.target_ids and not len(e.history) for e in ready)


def test_an_unknown_method_is_named(tuned):
    with pytest.raises(ValueError, match=r"unknown method 'lora'.*LoRA, IA3"), installed(tuned, "lora"):
        pass
