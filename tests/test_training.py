"""Training: batches, subsampling, and what may and may not change in a step."""

import random

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from pplug.model import build, load_llm
from pplug.training import Visits, collate, prepare_example, subsample, train


@pytest.fixture(scope="module", params=["t5", "qwen"])
def llm(request, tmp_path_factory):
    return load_llm(str(tiny.save_llm(request.param, tmp_path_factory.mktemp(request.param))))


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return load_llm(str(tiny.save_llm("t5", tmp_path_factory.mktemp("t5"))))


@pytest.fixture
def model(llm):
    torch.manual_seed(0)
    return build(*llm, tiny.MadeUpEncoder())


def examples(model, n: int = 12):
    seq2seq = model.is_encoder_decoder
    return [tiny.example(model.tokenizer, f"one {i}", "two three", i % 5, i, seq2seq) for i in range(n)]


def run(model, **choices):
    return train(model, examples(model), examples(model, 4), **({"steps": 10, "batch_size": 4} | choices))


def test_after_training_only_the_plug_has_changed_bit_for_bit_elsewhere(model):
    llm_before, plug_before = tiny.weight_hash(model.llm), tiny.weight_hash(model.plug)
    run(model, steps=1)
    assert tiny.weight_hash(model.llm) == llm_before
    assert tiny.weight_hash(model.plug) != plug_before


def test_same_seed_same_curve_and_another_seed_another(llm):
    def curve(seed):
        torch.manual_seed(seed)
        return run(build(*llm, tiny.MadeUpEncoder()), seed=seed)

    assert curve(0) == curve(0)
    assert curve(0) != curve(1)


def test_training_lowers_the_loss(model):
    curve = run(model, steps=60)
    dev = [row["eval_loss"] for row in curve if "eval_loss" in row]
    assert dev[-1] < dev[0] and all(np.isfinite(dev))


def test_resuming_is_exact(llm, tmp_path):
    def fresh():
        torch.manual_seed(0)
        return build(*llm, tiny.MadeUpEncoder())

    whole = fresh()
    expected = run(whole, folder=tmp_path / "whole", steps=10)
    kept = sorted(p.name for p in (tmp_path / "whole").glob("checkpoint-*"))
    assert kept == ["checkpoint-10", "checkpoint-9"]
    (tmp_path / "whole" / "checkpoint-10").rename(tmp_path / "lost")  # as if it had been stopped after step 9
    resumed = fresh()
    curve = run(resumed, folder=tmp_path / "whole", steps=10, resume=True)
    assert tiny.weight_hash(resumed.plug) == tiny.weight_hash(whole.plug)
    assert curve == expected


def test_a_checkpoint_holds_the_plug_alone(model, tmp_path):
    from safetensors.torch import load_file

    run(model, folder=tmp_path, steps=10)
    saved = load_file(tmp_path / "checkpoint-10" / "model.safetensors")
    assert set(saved) == set(model.plug.state_dict())
    assert (tmp_path / "loss.csv").read_text().splitlines()[0] == "step,loss,eval_loss"


def test_early_stopping_ends_with_the_weights_of_the_best_dev_loss(t5):
    torch.manual_seed(0)
    model = build(*t5, tiny.MadeUpEncoder())
    # The dev targets contradict the training targets: the better the plug learns, the worse it does on dev.
    dev = [tiny.example(model.tokenizer, f"one {i}", "four four", 2, i) for i in range(4)]
    curve = train(model, examples(model), dev, steps=60, batch_size=4, patience=2)
    losses = {row["step"]: row["eval_loss"] for row in curve if "eval_loss" in row}
    assert max(losses) < 60
    with torch.no_grad():
        final = float(model(**collate(model, dev))["loss"])
    assert final == pytest.approx(min(losses.values()), rel=1e-4)
    assert final < losses[max(losses)]


def test_a_batch_is_padded_to_its_own_longest_and_no_further(model):
    some = examples(model)[:4]
    batch = collate(model, some)
    longest = max(len(e.input_ids) + (0 if model.is_encoder_decoder else len(e.target_ids)) for e in some)
    assert batch["input_ids"].shape[1] == longest
    assert batch["history"].shape[1] == max(len(e.history) for e in some)
    assert batch["history_mask"].sum(dim=1).tolist() == [len(e.history) for e in some]


def test_the_instruction_only_control_gets_no_history(llm):
    control = build(*llm, tiny.MadeUpEncoder(), user=False)
    batch = collate(control, examples(control))
    assert not batch["history_mask"].any() and not batch["history"].any()


def test_empty_histories_stay_finite_through_training_and_generation(llm):
    torch.manual_seed(0)
    model = build(*llm, tiny.MadeUpEncoder())
    empty = [tiny.example(model.tokenizer, f"one {i}", "two", 0, i, model.is_encoder_decoder) for i in range(6)]
    curve = train(model, empty, empty, steps=5, batch_size=3)
    assert all(np.isfinite(row.get("loss", row.get("eval_loss"))) for row in curve)
    assert all(p.isfinite().all() for p in model.plug.parameters())
    assert len(model.generate_batch(**collate(model, empty, for_generation=True), max_new_tokens=3)) == 6


@given(st.integers(0, 40), st.integers(0, 10_000))
def test_subsampling_drops_at_most_half_and_keeps_the_order(n, seed):
    history = np.arange(n)[:, None]
    kept = subsample(history, random.Random(seed))[:, 0].tolist()
    assert kept == sorted(set(kept)) and len(kept) >= n / 2
    assert n > 2 or len(kept) == n


def test_subsampling_does_drop_items_and_keeps_one_draw_in_eleven_whole():
    sizes = [len(subsample(np.zeros((100, 1)), random.Random(i))) for i in range(2200)]
    assert 0.06 < np.mean(np.array(sizes) == 100) < 0.15
    assert min(sizes) < 55 and 70 < np.mean(sizes) < 82


def test_every_example_is_visited_once_before_any_is_visited_twice(model):
    visits = Visits(examples(model, 5), 12, seed=3)
    assert sorted(visits.order[:5]) == sorted(visits.order[5:10]) == list(range(5)) and len(visits) == 12
    again = Visits(examples(model, 5), 12, seed=3)
    assert all(np.array_equal(visits[i].history, again[i].history) for i in range(12))


def test_no_training_examples_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="no training examples"):
        Visits([], 3, 0)


def test_a_target_ends_with_the_end_token(model):
    nothing = tiny.vectors(0)
    made = prepare_example(model.tokenizer, "one", "two", nothing, tiny.vectors(1)[0], "one", model.is_encoder_decoder)
    assert made.target_ids[-1] == model.tokenizer.eos_token_id
    assert made.target_ids.count(model.tokenizer.eos_token_id) == 1
