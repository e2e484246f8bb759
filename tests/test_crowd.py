"""The crowd's soft tokens and what moves them: at first nothing, then what sets a user apart and nothing else."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch

from pplug.method.batches import collate
from pplug.method.crowd import STEP, CrowdProjector
from pplug.method.embedder import Plug
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM, build
from pplug.method.plug_config import PlugConfig
from pplug.method.training import learn_unknown, train

CONFIG = PlugConfig(encoder_width=8, llm_width=16, embedding_norm=3.0, soft_tokens=2, pooling="mean", crowd=True)
MASK = torch.ones(2, 5, dtype=torch.bool)


def made(config: PlugConfig = CONFIG) -> Plug:
    torch.manual_seed(0)
    return Plug(config).eval()


def history(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([tiny.vectors(5, seed), tiny.vectors(5, seed + 1)]).astype(np.float32))


def test_before_training_everyone_has_the_crowds_tokens():
    plug = made()
    soft = plug(None, history(0), MASK)
    assert torch.equal(soft[0], soft[1]) and torch.equal(soft, plug(None, history(7), MASK))
    assert soft.shape == (2, 3, 16)
    torch.testing.assert_close(soft.norm(dim=-1), torch.full((2, 3), 3.0))
    alone = made(replace(CONFIG, user=False))
    assert alone.tokens == plug.tokens and torch.equal(alone(None, history(0), MASK)[:, 1:], soft[:, 1:]), (
        "prompt tuning starts alike"
    )


def test_the_movement_is_delta_times_the_user_embedding():
    plug = made()
    torch.nn.init.normal_(plug.projector.last.weight)
    own = plug.user_embedding(None, history(0), MASK)
    crowd = plug.normalised(plug.crowd())
    torch.testing.assert_close(plug(None, history(0), MASK)[:, 1:], 3.0 * (crowd + STEP * own))


def test_the_crowd_is_the_mean_and_spread_of_users_means():
    projector = CrowdProjector(8, 16)
    histories = [tiny.vectors(n, n) for n in (3, 5, 9)]
    projector.learn_crowd([*histories, np.zeros((0, 8), np.float16)])
    means = np.stack([rows.astype(float).mean(axis=0) for rows in histories])
    standard = np.stack([projector.features(torch.from_numpy(m).float()).numpy() for m in means])
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std(axis=0), 1, atol=1e-4)


def test_a_number_that_is_the_same_for_all_moves_nobody():
    rows = [np.hstack([tiny.vectors(4, seed, 7), np.full((4, 1), 0.5, np.float16)]) for seed in range(6)]
    projector = CrowdProjector(8, 16)
    projector.learn_crowd(rows)
    newcomer = torch.from_numpy(rows[0]).float()
    assert projector.features(newcomer)[:, -1].abs().max() == 0
    newcomer[:, -1] += 0.01
    assert projector.features(newcomer)[:, -1].abs().max() < 0.02, "nor a newcomer in whom it is another"


def test_without_any_history_there_is_no_crowd():
    with pytest.raises(ValueError, match="crowd=True: expected training examples with a history"):
        CrowdProjector(8, 16).learn_crowd([np.zeros((0, 8), np.float16)])


def test_only_the_direction_of_the_difference_counts():
    projector = CrowdProjector(8, 16)
    torch.nn.init.normal_(projector.last.weight)
    pooled = torch.randn(3, 8)
    torch.testing.assert_close(projector.out(pooled), projector.out(10 * pooled))
    assert projector.out(torch.zeros(1, 8)).isfinite().all()


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_it_is_trained_served_and_saved_as_any_plug(llm, tmp_path, pooling):
    torch.manual_seed(0)
    model = build(*llm, tiny.MadeUpEncoder(), crowd=True, pooling=pooling, soft_tokens=2)
    curve = train(model, tiny.examples(model), steps=20, batch_size=4)
    losses = [row["loss"] for row in curve if "loss" in row]
    assert losses[-1] < losses[0]
    assert model.plug.projector.spread.max() < 1, "the crowd was learnt from the training users"
    assert model.plug.projector.last.weight.abs().max() > 0
    examples = tiny.examples(model, 5)
    whole = model.plug(*(collate(model, examples)[name] for name in ("query", "history", "history_mask")))
    known = [
        replace(e, features=model.plug.projector.features(torch.from_numpy(e.history.astype(np.float32))))
        for e in examples
    ]
    batch = collate(model, known)
    again = model.plug(*(batch[name] for name in ("query", "history", "history_mask", "history_features")))
    torch.testing.assert_close(whole, again)
    model.facts |= {"task": "LaMP-4", "llm": "x", "encoder": "made-up"}
    model.save_pretrained(tmp_path)
    loaded = PersonalizedLM.from_pretrained(tmp_path, *llm, encoder=tiny.MadeUpEncoder())
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


def test_dropout_is_of_training_alone():
    projector = CrowdProjector(8, 16, dropout=0.4)
    torch.nn.init.normal_(projector.last.weight)
    pooled = torch.randn(1, 8)
    whole = projector.eval().out(pooled)
    assert torch.equal(whole, projector.out(pooled))
    torch.manual_seed(0)
    projector.train()
    assert len({tuple(projector.out(pooled)[0].tolist()) for _ in range(5)}) > 1


TUNED = replace(CONFIG, user=False)
PAPER = replace(CONFIG, crowd=False, pooling="attention")


@pytest.mark.parametrize(
    "config",
    [CONFIG, PAPER, replace(PAPER, instruction=False, soft_tokens=3), replace(PAPER, pooling="max"), TUNED],
)
def test_a_plug_begins_where_prompt_tuning_ended_for_everyone(config):
    torch.manual_seed(3)
    tuned, plug = Plug(TUNED), Plug(config).eval()
    plug.begin_from(tuned)
    query, nobody = history(9)[:, 0], torch.zeros_like(MASK)
    wanted = tuned(None, history(0), nobody)
    for mask in (MASK, nobody):
        torch.testing.assert_close(plug(query, history(0), mask), wanted)
    if config.user:  # and it can learn of a person from there
        plug(query, history(0), MASK)[0].sum().backward()
        last = plug.projector.last if config.crowd else plug.projector.out
        assert last.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("config", "other"),
    [
        (CONFIG, replace(TUNED, soft_tokens=3)),
        (CONFIG, CONFIG),
        (PAPER, PAPER),
        (replace(CONFIG, instruction=False, soft_tokens=3), TUNED),
        (replace(PAPER, instruction_mlp=True), TUNED),
    ],
)
def test_a_plug_begins_from_nothing_else(config, other):
    with pytest.raises(ValueError, match="expected prompt tuning with 3 soft tokens, of like kinds"):
        Plug(config).begin_from(Plug(other))


def test_after_training_someone_unknown_is_the_mean_of_those_it_was_trained_on(tmp_path):
    model = build(*load_llm(tiny.save_llm("t5", tmp_path)), tiny.MadeUpEncoder(), crowd=True, pooling="mean")
    examples = [tiny.example(model.tokenizer, "one two three", "three four", n, n, True) for n in (3, 0, 5, 2)]
    train(model, examples, steps=3, batch_size=4)
    batch = collate(model, [example for example in examples if len(example.history)])
    moves = model.plug.user_embedding(batch["query"], batch["history"], batch["history_mask"])
    assert moves.abs().sum() > 0
    torch.testing.assert_close(model.plug.no_history, moves.mean(dim=0))


def test_in_the_papers_form_someone_unknown_is_what_was_learnt():
    plug = made(PAPER)
    before = plug.no_history.clone()
    learn_unknown(SimpleNamespace(plug=plug), [])
    assert torch.equal(plug.no_history, before)
