"""What stands in front of the soft prompt, read once and without gradient: the same loss and the same gradients."""

import pytest
import tiny
import torch

from pplug.method.batches import collate, prepare_example
from pplug.method.joining import can_read_front, read_front
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import build
from pplug.method.training import train

TEXTS = ("one", "one two three four", "the following article", "two two two one")


@pytest.fixture(scope="module", params=["llama", "qwen"])
def causal(request, tmp_path_factory):
    return load_llm(str(tiny.save_llm(request.param, tmp_path_factory.mktemp(request.param), chat=True)))


def made(llm, before: str):
    torch.manual_seed(0)
    return build(*llm, tiny.MadeUpEncoder(), before=before, soft_tokens=2)


def asked(model) -> list:
    drawn = [(text, tiny.vectors(n + 1, n), tiny.vectors(1, n)[0]) for n, text in enumerate(TEXTS)]
    return [
        prepare_example(model, text, "two three " * (n % 3 + 1), *vectors, text)
        for n, (text, *vectors) in enumerate(drawn)
    ]


@pytest.mark.parametrize("before", ["input", "answer"])
def test_read_once_loss_and_gradients_are_the_same(causal, before):
    model = made(causal, before).train()
    batch = collate(model, asked(model))
    whole, wanted = tiny.loss_and_gradients(model, batch)
    once, found = tiny.loss_and_gradients(model, batch, front_once=True)
    assert once == pytest.approx(whole, rel=1e-5) and wanted.keys() == found.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("before", ["input", "answer"])
def test_a_plug_is_trained_on_less(causal, before, monkeypatch):
    """A training reads fewer tokens with gradient, and ends where it ended without."""

    def trained() -> tuple[list, dict, int]:
        model, seen = made(causal, before), []
        hook = model.llm.get_decoder().register_forward_pre_hook(
            lambda _, given, named: seen.append(named["inputs_embeds"].shape[1]) if torch.is_grad_enabled() else None,
            with_kwargs=True,
        )
        curve = train(model, asked(model), steps=4, batch_size=4)
        hook.remove()
        return [row["loss"] for row in curve if "loss" in row], model.state_dict(), sum(seen)

    now = trained()
    monkeypatch.setattr("pplug.method.model.can_read_front", lambda llm: False)
    before_that = trained()
    assert now[0] == pytest.approx(before_that[0], rel=1e-3) and 0 < now[2] < before_that[2]
    assert all(torch.allclose(now[1][name], value, atol=1e-3) for name, value in before_that[1].items())


def test_what_all_begin_with_is_read_for_one(causal, monkeypatch):
    llm, seen = causal[0], []
    hook = llm.get_decoder().register_forward_pre_hook(
        lambda _, given, named: seen.append(tuple(named["inputs_embeds"].shape[:2])), with_kwargs=True
    )
    read_front(llm, [[5, 6, 7, 8, 9], [5, 6, 7, 4], [5, 6, 7, 8]])
    hook.remove()
    assert seen == [(1, 3), (3, 2)]


def test_where_layers_do_not_see_all_of_it_nothing_is_read_ahead(causal, t5):
    llm = causal[0]
    assert can_read_front(llm) and not can_read_front(t5[0])
    kinds = getattr(llm.config, "layer_types", None)
    try:
        llm.config.layer_types = ["full_attention", "sliding_attention"]
        assert not can_read_front(llm)
    finally:
        llm.config.layer_types = kinds
