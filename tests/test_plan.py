"""A plan is reckoned from the paper's table and the models' shapes."""

from dataclasses import replace

import pytest

from pplug.__main__ import main
from pplug.config import GPU, LAPTOP, LLAMA, PAPER, QWEN, card
from pplug.data.tasks import TASKS
from pplug.method.embedder import Plug
from pplug.method.plug_config import PlugConfig
from pplug.method.release import VISITS
from pplug.study.paper import DATA
from pplug.study.plan import CARD, LAPTOP_CPU, file_bytes, make_plan, memory, needs, plan_task, plug_parameters

PROFILES = {profile.name: profile for profile in (LAPTOP, GPU, PAPER, LLAMA, QWEN)}


def test_the_papers_plan_is_the_papers_setting():
    text = make_plan(PAPER)
    assert "google/flan-t5-xxl" in text and "2 epochs (LaMP-3: 1) of 64" in text and "learning rate 0.0001" in text
    assert "1 soft token a user · 4 beams" in text
    for task, ((train, dev, _), *_) in DATA.items():
        part = plan_task(task, PAPER, CARD)
        assert (part.questions, part.answered) == (train, dev)
        assert part.steps == (1 if task == "LaMP-3" else 2) * train // 64
        assert f"| {task} | {train:,} | {part.steps:,} | {part.tokens / 1e6:.1f} | {dev:,} |" in text


def test_a_plan_tells_the_steps_and_hours_of_the_papers_visits_and_of_the_releases():
    ours, release = needs(PAPER), needs(replace(PAPER, visits=VISITS))
    assert PAPER.visits == 1 and VISITS == 11
    for task, part in ours["tasks"].items():
        assert release["tasks"][task].steps // part.steps == pytest.approx(11, abs=1)
    line = next(line for line in make_plan(PAPER).splitlines() if "visits=1" in line)
    for found in (ours, release):
        steps = sum(part.steps for part in found["tasks"].values())
        assert f"{steps:,} steps, {found['hours']['train']:.1f} hours" in line
    assert found["hours"]["train"] == pytest.approx(11 * ours["hours"]["train"], rel=0.01)
    assert "visits" not in make_plan(LAPTOP)  # where steps are given, they are what is trained


def test_the_papers_table_of_lamp_has_every_task():
    assert list(DATA) == list(TASKS)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_large_profile_has_a_plan(profile, capsys):
    main(["plan", profile.name])
    told = capsys.readouterr().out
    assert told == make_plan(profile) + "\n" and told.startswith(f"profile {profile.name}\n{card(profile)}\n")


def test_trained_parameters_are_counted_as_the_plug_has_them():
    from pplug.study.shapes import count

    config = PlugConfig(384, 512, 1.0, soft_tokens=4)
    assert plug_parameters(LAPTOP) == sum(p.numel() for p in Plug(config).parameters())
    own = plug_parameters(replace(PAPER, train_input_encoder=False))
    assert plug_parameters(PAPER) == pytest.approx(own + count(PAPER.encoder)["total"], rel=0.01)


def test_more_work_takes_longer_and_more_at_once_takes_more_memory():
    few = plan_task("LaMP-4", LAPTOP, LAPTOP_CPU).hours
    many = plan_task("LaMP-4", replace(LAPTOP, n_users=1000, steps=1200), LAPTOP_CPU).hours
    assert many["encode"] == pytest.approx(2 * few["encode"]) and many["train"] == pytest.approx(2 * few["train"])
    assert memory(replace(PAPER, micro_batch=32)) > memory(PAPER) > memory(GPU)
    assert memory(replace(PAPER, checkpointing=False)) > 1.5 * memory(PAPER) > 2 * 11e9


def test_what_is_needed_adds_up():
    found = needs(PAPER)
    assert found["disk"] > found["weights"] + found["vectors"] > found["weights"] > 4 * 11e9
    assert found["evaluate"] > sum(found["hours"].values()) > 0
    few = needs(LAPTOP)  # fewer users need fewer vectors, but all of LaMP's files
    assert few["vectors"] < found["vectors"] / 4 and few["disk"] > 2 * sum(file_bytes(task) for task in DATA)


def test_an_llm_of_unknown_shape_has_no_plan():
    with pytest.raises(ValueError, match="the shape of 'mine' is not known here"):
        make_plan(replace(PAPER, llm="mine"))
