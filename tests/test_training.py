"""Training: what may and may not change in a step."""

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import distributed
import numpy as np
import pytest
import tiny
import torch

from pplug.method.batches import collate
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import build
from pplug.method.training import ENCODER_RATE, train


def run(model, **choices):
    choices = {"dev": tiny.examples(model, 4), "steps": 10, "batch_size": 4} | choices
    return train(model, tiny.examples(model), **choices)


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


def test_early_stopping_ends_with_the_weights_of_the_best_dev_loss(t5):
    torch.manual_seed(0)
    model = build(*t5, tiny.MadeUpEncoder())
    # The dev targets contradict the training targets: the better the plug learns, the worse it does on dev.
    dev = [tiny.example(model.tokenizer, f"one {i}", "four four", 2, i) for i in range(4)]
    curve = train(model, tiny.examples(model), dev, steps=60, batch_size=4, patience=2)
    losses = {row["step"]: row["eval_loss"] for row in curve if "eval_loss" in row}
    assert max(losses) < 60
    with torch.no_grad():
        final = float(model(**collate(model, dev))["loss"])
    assert final == pytest.approx(min(losses.values()), rel=1e-4)
    assert final < losses[max(losses)]


def test_empty_histories_stay_finite_through_training_and_generation(llm):
    torch.manual_seed(0)
    model = build(*llm, tiny.MadeUpEncoder())
    empty = [tiny.example(model.tokenizer, f"one {i}", "two", 0, i, model.is_encoder_decoder) for i in range(6)]
    curve = train(model, empty, empty, steps=5, batch_size=3)
    assert all(np.isfinite(row.get("loss", row.get("eval_loss"))) for row in curve)
    assert all(p.isfinite().all() for p in model.plug.parameters())
    assert len(model.generate_batch(collate(model, empty, for_generation=True), max_new_tokens=3)) == 6


@pytest.mark.fault(22)
@pytest.mark.parametrize("rate", [1e37, 1e30])
def test_a_rate_that_is_far_too_high_ends_the_training_with_the_step_and_the_rate(t5, tmp_path, rate):
    model = build(*t5, tiny.MadeUpEncoder())
    with pytest.raises(ValueError, match=r"step \d+: the .* is (nan|inf), .*lower than 1e\+3"):
        run(model, learning_rate=rate, folder=tmp_path)
    from safetensors.torch import load_file

    for saved in tmp_path.glob("checkpoint-*/model.safetensors"):
        assert all(value.isfinite().all() for value in load_file(saved).values())
    assert not (tmp_path / "loss.csv").exists()


@pytest.mark.fault(22)
def test_a_single_step_that_ruins_the_weights_is_not_the_end_of_a_good_training(t5):
    model = build(*t5, tiny.MadeUpEncoder())
    with pytest.raises(ValueError, match="step 1: the weights' length is inf"):
        run(model, steps=1, learning_rate=1e37, dev=[])


@pytest.mark.fault(22)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_llm_that_is_not_finite_ends_the_training_at_the_first_step(llm, value):
    model = build(copy.deepcopy(llm[0]), llm[1], tiny.MadeUpEncoder())
    model.llm.get_output_embeddings().weight.data[3, 0] = value
    before = tiny.weight_hash(model.plug)
    with pytest.raises(ValueError, match=r"step 1: the loss is (nan|inf).*whose own numbers are finite"):
        run(model, steps=2, dev=[])
    assert tiny.weight_hash(model.plug) == before


@pytest.mark.fault(22)
def test_an_llm_that_overflows_in_half_precision_ends_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr("pplug.method.training.has_bfloat16", lambda device: False)  # which does not overflow
    llm, tokenizer = load_llm(str(tiny.save_llm("llama", tmp_path)))
    model = build(llm.half(), tokenizer, tiny.MadeUpEncoder())
    model.llm.get_output_embeddings().weight.data.mul_(1e6)  # each fits, their sum does not
    with pytest.raises(ValueError, match="step 1: the loss is"):
        run(model)


@pytest.mark.fault(22)
def test_a_vector_that_is_not_finite_ends_the_training(t5):
    model = build(*t5, tiny.MadeUpEncoder())
    examples = tiny.examples(model)
    examples[3].history[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"step \d: the loss is nan"):
        train(model, examples, [], 5, 4)


@pytest.mark.fault(22)
def test_a_dev_loss_that_is_not_finite_ends_the_training_before_it_is_saved(t5, tmp_path):
    model = build(*t5, tiny.MadeUpEncoder())
    dev = tiny.examples(model, 4)
    dev[1].history[0, 0] = np.inf
    with pytest.raises(ValueError, match="step 2: the dev loss is nan"):
        train(model, tiny.examples(model), dev, 20, 4, folder=tmp_path)
    assert not list(tmp_path.glob("checkpoint-*"))


@pytest.mark.fault(22)
def test_a_gradient_that_is_not_finite_ends_the_training_before_the_step(t5):
    model = build(*t5, tiny.MadeUpEncoder())
    model.plug.instruction.register_hook(lambda gradient: gradient * float("inf"))  # the loss itself is finite
    before = tiny.weight_hash(model.plug)
    with pytest.raises(ValueError, match=r"step 1: the gradient's length is (inf|nan)"):
        run(model)
    assert tiny.weight_hash(model.plug) == before


@pytest.mark.parametrize("which", ["training", "dev"])
def test_an_example_without_an_output_is_refused_by_its_number(t5, which):
    model = build(*t5, tiny.MadeUpEncoder())
    examples = {"training": tiny.examples(model), "dev": tiny.examples(model, 4)}
    examples[which][2] = replace(examples[which][2], target_ids=[])
    with pytest.raises(ValueError, match=f"^{which} example 2: expected an output"):
        train(model, examples["training"], examples["dev"], 2, 4)


class OneLayer(torch.nn.Module):
    """Stands in for a text encoder of trainable weights; also reads the features, as an encoder's module does."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(tiny.WIDTH, tiny.WIDTH)

    def forward(self, features):
        return {"sentence_embedding": self.layer(features["made_up"])}


class TokenizingEncoder(tiny.MadeUpEncoder):
    def tokenize(self, texts, is_query=False):
        return {"made_up": torch.from_numpy(tiny.vectors(len(texts))).float()}


@pytest.mark.parametrize("rate", [1e-2, ENCODER_RATE / 4])
def test_a_trained_input_encoder_learns_but_no_faster_than_a_pretrained_one_can_bear(t5, rate):
    torch.manual_seed(0)
    encoder = TokenizingEncoder(module=OneLayer().requires_grad_(False))
    model = build(*t5, encoder, train_input_encoder=True)
    frozen = tiny.weight_hash(encoder.module)
    before = {name: value.clone() for name, value in model.plug.state_dict().items()}
    train(model, tiny.examples(model), [], steps=1, batch_size=4, learning_rate=rate)
    moved = {name: (value - before[name]).abs().max().item() for name, value in model.plug.state_dict().items()}
    # AdamW's first step moves a weight by its learning rate, however small the gradient (but for a tiny constant).
    pretrained = [value for name, value in moved.items() if "backbone" in name]
    assert max(pretrained) == pytest.approx(min(rate, ENCODER_RATE), rel=0.1)
    assert moved["projector.out.bias"] == pytest.approx(rate, rel=0.1)
    assert tiny.weight_hash(encoder.module) == frozen  # the history encoder is another copy


def test_small_parts_of_a_batch_train_as_the_whole(llm, monkeypatch):
    # AdamW makes its rounding whole steps
    monkeypatch.setattr(
        "pplug.method.training.has_bfloat16", lambda device: False
    )  # AdamW makes its rounding whole steps

    def trained(micro_batch):
        torch.manual_seed(0)
        model = build(*llm, tiny.MadeUpEncoder())
        examples = tiny.examples(model, 16)
        for i, example in enumerate(examples):  # targets of different lengths: a mean of means would be another loss
            example.target_ids.extend([5] * (i % 4))
        curve = train(model, examples, [], 5, batch_size=8, micro_batch=micro_batch)
        return [row["loss"] for row in curve], model.plug.state_dict()

    whole, parts = trained(None), trained(2)
    assert np.allclose(whole[0], parts[0], rtol=1e-4)
    assert all(torch.allclose(a, parts[1][name], atol=1e-3) for name, a in whole[1].items())


def test_a_batch_that_cannot_be_divided_is_told(model):
    with pytest.raises(ValueError, match="a batch of 8 cannot be made of 3 examples at a time in 1 process"):
        train(model, tiny.examples(model), [], 1, batch_size=8, micro_batch=3)


@pytest.mark.long
def test_two_processes_get_the_loss_of_one_and_can_share_the_llm(tmp_path):
    folders = [str(tiny.save_llm(kind, tmp_path / kind)) for kind in ("t5", "llama")]
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", distributed.__file__]
    out = tmp_path / "out.json"
    done = subprocess.run([*command, str(out), *folders], check=False, env=known, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    told = json.loads(out.read_text())
    for folder in folders:
        one, (both, sharded) = distributed.losses(folder, 4), told[folder]
        assert (one["processes"], both["processes"], sharded["processes"]) == (1, 2, 2)
        assert len(one["losses"]) == 5 and np.allclose(one["losses"], both["losses"], rtol=1e-3)
        assert np.allclose(one["losses"], sharded["losses"], rtol=1e-3)
        assert sharded["held"] < both["held"] == one["held"]
