"""Stopping and going on: a resumed training is the uninterrupted one, and a folder is one training's."""

import shutil

import pytest
import tiny
import torch

from pplug.method.personalized import build
from pplug.method.training import train


def run(model, **choices):
    choices = {"dev": tiny.examples(model, 4), "steps": 10, "batch_size": 4} | choices
    return train(model, tiny.examples(model), **choices)


def test_resuming_is_exact(llm, tmp_path):
    def fresh():
        torch.manual_seed(0)
        return build(*llm, tiny.MadeUpEncoder())

    whole = fresh()
    expected = run(whole, folder=tmp_path / "whole", steps=10)
    kept = sorted(p.name for p in (tmp_path / "whole").glob("checkpoint-*"))
    assert kept == ["checkpoint-10", "checkpoint-9"]
    (tmp_path / "whole" / "checkpoint-10").rename(tmp_path / "lost")  # as if it had been stopped after step 9
    (tmp_path / "whole" / "checkpoint-10").mkdir()  # or while it wrote the next one
    (tmp_path / "whole" / "checkpoint-10" / "trainer_state.json").write_text('{"epoch": 1.')
    resumed = fresh()
    curve = run(resumed, folder=tmp_path / "whole", steps=10, resume=True)
    assert tiny.weight_hash(resumed.plug) == tiny.weight_hash(whole.plug)
    assert curve == expected


def test_resuming_before_the_first_checkpoint_starts_at_the_beginning(t5, tmp_path):
    (tmp_path / "checkpoint-1").mkdir()
    curve = run(build(*t5, tiny.MadeUpEncoder()), folder=tmp_path, steps=2, resume=True)
    assert [row["step"] for row in curve if "loss" in row] == [1, 2]


def test_a_checkpoint_that_cannot_be_written_is_a_clear_error(t5, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("unexpected pos 64 vs 0")  # as torch has it on a full disk

    monkeypatch.setattr("torch.save", fail)
    with pytest.raises(OSError, match=r"here: a checkpoint could not be written \(unexpected pos.*expected a folder"):
        run(build(*t5, tiny.MadeUpEncoder()), folder=tmp_path / "here", steps=2)


def test_a_checkpoint_holds_the_plug_alone(model, tmp_path):
    from safetensors.torch import load_file

    run(model, folder=tmp_path, steps=10)
    saved = load_file(tmp_path / "checkpoint-10" / "model.safetensors")
    assert set(saved) == set(model.plug.state_dict())
    assert (tmp_path / "loss.csv").read_text().splitlines()[0] == "step,loss,eval_loss"


def contradicting(model):
    """Dev examples whose targets contradict the training's: the better the plug learns, the worse it does on them."""
    return [tiny.example(model.tokenizer, f"one {i}", "four four", 2, i, model.is_encoder_decoder) for i in range(4)]


@pytest.fixture(scope="module")
def stopped_early(t5, tmp_path_factory):
    """An uninterrupted training that early stopping ends, with all its checkpoints; returns folder, plug, curve."""

    def run_in(folder, resume=False):
        torch.manual_seed(0)
        model = build(*t5, tiny.MadeUpEncoder())
        options = {"steps": 60, "batch_size": 4, "patience": 3, "folder": folder, "resume": resume}
        return model, train(model, tiny.examples(model), contradicting(model), **options)

    folder = tmp_path_factory.mktemp("early") / "whole"
    kept = folder.with_name("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.trainer.rotate_checkpoints", lambda **_: None)
        model, curve = run_in(folder)
    shutil.copytree(folder, kept)
    return run_in, kept, model, curve


@pytest.mark.fault(29)
@pytest.mark.parametrize(("lost", "moved"), [(0, False), (0, True), (1, False), (3, True)])
def test_a_resumed_training_stops_as_early_as_an_uninterrupted_one(stopped_early, tmp_path, lost, moved):
    """Killed behind any checkpoint, behind the last one too, when all that was missing was to say so."""
    run_in, kept, model, expected = stopped_early
    assert max(row["step"] for row in expected) < 60
    folder = kept.with_name("whole")  # where it was; checkpoints name it
    shutil.rmtree(folder, ignore_errors=True)
    folder = tmp_path / "elsewhere" if moved else folder
    shutil.copytree(kept, folder)
    steps = sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))
    for step in steps[len(steps) - lost :]:
        shutil.rmtree(folder / f"checkpoint-{step}")
    resumed, curve = run_in(folder, resume=True)
    assert curve == expected
    assert tiny.weight_hash(resumed.plug) == tiny.weight_hash(model.plug)


def test_a_folder_with_another_training_is_not_gone_on_with(t5, tmp_path):
    fresh = lambda: build(*t5, tiny.MadeUpEncoder())  # noqa: E731
    run(fresh(), folder=tmp_path, steps=4)
    for other in ({"learning_rate": 3e-3}, {"steps": 8}, {"seed": 1}, {"batch_size": 2}):
        with pytest.raises(ValueError, match=f"{next(iter(other))} is .* here, and .* there"):
            run(fresh(), folder=tmp_path, resume=True, **({"steps": 4} | other))
    model = fresh()
    with pytest.raises(ValueError, match="examples is"):
        train(model, tiny.examples(model, 5), tiny.examples(model, 4), 4, 4, folder=tmp_path, resume=True)
    with pytest.raises(ValueError, match="plug is"):
        run(build(*t5, tiny.MadeUpEncoder(), pooling="mean"), folder=tmp_path, resume=True, steps=4)
    assert run(fresh(), folder=tmp_path, resume=True, steps=4, micro_batch=2)  # memory does not decide the result


def test_what_an_earlier_training_left_in_the_folder_is_not_taken_for_this_ones(t5, tmp_path):
    run(build(*t5, tiny.MadeUpEncoder()), folder=tmp_path, steps=10)
    run(build(*t5, tiny.MadeUpEncoder()), folder=tmp_path, steps=2)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
