"""Several plugs at once are what each is alone: losses, gradients, a whole training."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from pplug.method import together
from pplug.method.batches import prepare_example
from pplug.method.likelihood import target_nats
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import build
from pplug.method.together import losses, nats_together, soft_prompts, train_together

TEXTS = ("one", "one two three four", "the following article", "two two two one", "for", "headline one")


@pytest.fixture(scope="module", params=["llama", "qwen"])
def causal(request, tmp_path_factory):
    """A decoder-only LLM with a chat template."""
    return load_llm(str(tiny.save_llm(request.param, tmp_path_factory.mktemp(request.param), chat=True)))


def made(llm, seed: int = 0, **choices):
    torch.manual_seed(seed)
    model = build(*llm, tiny.MadeUpEncoder(), **choices)
    if choices.get("crowd") and choices.get("user", True):
        torch.nn.init.normal_(model.plug.projector.last.weight)
    return model


def asked(model, shift: int = 0) -> list:
    """Questions of several lengths, with answers of several lengths and histories of 0 to 4 items."""
    return [
        prepare_example(
            model, text, "two three " * (n % 3 + 1), tiny.vectors(n % 5, n + shift), tiny.vectors(1, n)[0], text
        )
        for n, text in enumerate(TEXTS)
    ]


def plugs(llm, before: str) -> list:
    return [
        made(llm, 0, crowd=True, pooling="mean", soft_tokens=3, before=before),
        made(llm, 1, crowd=True, user=False, soft_tokens=1, before=before),
        made(llm, 2, before=before),
    ]


@pytest.mark.parametrize("before", ["input", "answer"])
def test_the_likelihood_behind_each_plug_is_what_it_is_alone(causal, before):
    models = plugs(causal, before)
    examples = asked(models[0])
    assert bool(examples[0].input_ids) == (before == "input") and examples[0].before_ids
    nats, tokens = nats_together(models, [examples] * 3, batch_size=4)
    assert tokens.tolist() == [len(example.target_ids) for example in examples]
    for model, found in zip(models, nats, strict=True):
        np.testing.assert_allclose(found, target_nats(model, examples)[0], rtol=1e-4)


@pytest.mark.parametrize("before", ["input", "answer"])
def test_the_gradient_is_the_one_of_the_whole_sequence(causal, before):
    from pplug.method.batches import collate

    model = made(causal, crowd=True, pooling="mean", soft_tokens=2, before=before)
    examples = asked(model)
    nats, tokens = losses(model.llm, model.tokenizer, soft_prompts([model], [examples]), examples)
    (nats.sum() / tokens.sum()).backward()
    shared = {name: value.grad.clone() for name, value in model.plug.named_parameters() if value.grad is not None}
    model.plug.zero_grad()
    model(**collate(model, examples))["loss"].backward()
    assert shared
    for name, value in model.plug.named_parameters():
        if value.grad is not None:
            torch.testing.assert_close(shared[name], value.grad, rtol=1e-3, atol=1e-6)


def test_the_same_questions_with_other_histories(causal):
    model = made(causal, crowd=True, pooling="mean", before="answer")
    own, others = asked(model), asked(model, shift=50)
    nats, _ = nats_together([model, model], [own, others])
    for found, examples in zip(nats, (own, others), strict=True):
        np.testing.assert_allclose(found, target_nats(model, examples)[0], rtol=1e-4)
    assert not np.allclose(nats[0], nats[1], rtol=1e-6)


def test_trained_beside_others_a_plug_is_what_it_is_alone(causal):
    def trained(*wanted):
        models = [plugs(causal, "answer")[number] for number in wanted]
        examples = asked(models[0])
        curves = train_together(models, [examples] * len(models), 6, batch_size=3, learning_rate=1e-2)
        return models, curves

    models, curves = trained(0, 1, 2)
    assert [len(curve) for curve in curves] == [6, 6, 6]
    for number in range(3):
        (alone,), (curve,) = trained(number)
        assert curve == pytest.approx(curves[number], rel=1e-4)
        for name, value in alone.plug.state_dict().items():
            torch.testing.assert_close(value, models[number].plug.state_dict()[name], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("at_once", [1, 2])
def test_some_at_a_time_they_learn_the_same(causal, at_once):
    curves = []
    for some in (None, at_once):
        models = plugs(causal, "answer")
        curves.append(train_together(models, [asked(models[0])] * 3, 4, batch_size=3, learning_rate=1e-2, at_once=some))
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)


def test_interrupted_it_goes_on_as_if_nothing_had_happened(causal, tmp_path):
    class Interrupted(Exception):
        pass

    def interrupt(step, losses):
        if step == 5:
            raise Interrupted

    def begun():
        some = {"crowd": True, "pooling": "mean", "before": "answer"}
        models = [made(causal, 0, dropout=0.3, **some), made(causal, 1, user=False, **some)]
        return models, [asked(models[0])] * 2

    models, examples = begun()
    whole = train_together(models, examples, 10, batch_size=4)
    stopped, _ = begun()
    with pytest.raises(Interrupted):
        train_together(stopped, examples, 10, batch_size=4, folder=tmp_path / "run", watch=interrupt)
    again, _ = begun()
    torch.rand(7)  # other numbers were drawn since
    assert train_together(again, examples, 10, batch_size=4, folder=tmp_path / "run") == whole
    for one, other in zip(models, again, strict=True):
        for name, value in one.plug.state_dict().items():
            assert torch.equal(value, other.plug.state_dict()[name]), name


def test_it_learns(causal):
    model = made(causal, crowd=True, pooling="mean", before="answer", dropout=0.3)
    examples = asked(model)
    before = nats_together([model], [examples])[0].sum()
    train_together([model], [examples], 40, batch_size=6, learning_rate=3e-2)
    assert nats_together([model], [examples])[0].sum() < before - 0.5 and not model.training


def test_other_questions_are_refused(causal):
    models = plugs(causal, "answer")[:2]
    examples = asked(models[0])
    other = [replace(examples[0], target_ids=[5]), *examples[1:]]
    with pytest.raises(ValueError, match="expected the same questions for all of them"):
        train_together(models, [examples, other], 1)


def test_long_questions_are_asked_beside_long_ones(causal, monkeypatch):
    """One long text in front would make its whole batch as long."""
    model, seen = made(causal, crowd=True, pooling="mean", before="answer"), []
    short, long = ("one", "one two three four " * 8)
    texts = [short, long] * 4
    mixed = [
        prepare_example(model, text, "two three", tiny.vectors(2, 1), tiny.vectors(1, 1)[0], text) for text in texts
    ]
    plain = together.losses

    def watched(llm, tokenizer, softs, examples):
        seen.append({len(example.before_ids) for example in examples})
        return plain(llm, tokenizer, softs, examples)

    monkeypatch.setattr(together, "losses", watched)
    nats_together([model], [mixed], batch_size=4)
    train_together([model], [mixed], 2, batch_size=4)
    assert len(seen) == 4 and all(len(fronts) == 1 for fronts in seen)
