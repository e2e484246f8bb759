"""Profiles: which one is chosen, where its paths are, and that its run card tells every choice."""

from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path

import pytest

from pplug.config import (
    DEFAULT,
    GPU,
    LAPTOP,
    LLAMA,
    OWN,
    PAPER,
    PROFILES,
    QWEN,
    SMOKE,
    VARIABLE,
    Profile,
    card,
    get_profile,
    training_steps,
)
from pplug.data.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent


def test_names_are_the_keys():
    names = ["smoke", "default", "laptop", "gpu", "paper", "llama", "qwen"]
    assert list(PROFILES) == [profile.name for profile in PROFILES.values()] == names


def test_the_variable_chooses(monkeypatch):
    monkeypatch.setenv(VARIABLE, "gpu")
    assert get_profile() == replace(GPU, data=str(ROOT / "data" / "time"))
    assert get_profile("smoke") == SMOKE, "a name given in code goes first"


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_it_is_default(monkeypatch, value):
    monkeypatch.delenv(VARIABLE) if value is None else monkeypatch.setenv(VARIABLE, value)
    assert get_profile() == DEFAULT


@pytest.mark.parametrize("name", ["Default", "fast", " smoke"])
def test_an_unknown_name_is_an_error_that_lists_the_names(monkeypatch, name):
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(ValueError, match=r"smoke, default, laptop, gpu, paper, llama, qwen") as caught:
        get_profile()
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(("variable", "field"), OWN.items())
def test_own_data_and_llm_replace_the_profiles(monkeypatch, tmp_path, variable, field):
    monkeypatch.setenv(variable, str(tmp_path / "mine"))
    assert get_profile("default") == replace(DEFAULT, name="default-mine", **{field: str(tmp_path / "mine")})
    monkeypatch.setenv(variable, "")
    assert get_profile("default") == DEFAULT


@pytest.mark.fault(20)
@pytest.mark.parametrize("folder", ["some/mine", "./some/mine", "some/../some/mine", "~/some/mine"])
def test_given_paths_mean_the_current_folder_wherever_they_are_used(monkeypatch, tmp_path, folder):
    """Notebooks run in `notebooks/`, and so cannot use what was given elsewhere."""
    (tmp_path / "some" / "mine").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for variable in OWN:
        monkeypatch.setenv(variable, folder)
    profile = get_profile("laptop")
    assert profile.name == "laptop-mine-mine"
    monkeypatch.chdir("/")
    for path in (profile.data, profile.llm):
        assert Path(path).is_absolute() and Path(path).samefile(tmp_path / "some" / "mine")


@pytest.mark.fault(20)
def test_a_profiles_own_folder_is_in_the_checkout(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    profile = get_profile("laptop")
    assert profile.data == str(ROOT / "data" / "time") and card(profile) == card(LAPTOP)
    assert get_profile("default").data is None


def test_an_llm_that_is_no_path_is_a_name(monkeypatch):
    monkeypatch.setenv("PPLUG_LLM", "google/flan-t5-small")
    assert get_profile("default").llm == "google/flan-t5-small"


def test_a_profile_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        DEFAULT.steps = 1


def test_every_field_is_explained():
    explained = [line.split(":")[0].strip() for line in Profile.__doc__.split("Attributes:")[1].splitlines()]
    assert [line for line in explained if line.isidentifier()] == [field.name for field in fields(Profile)]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_values_are_possible(profile):
    for name in ("n_map_users", "epochs", "visits", "batch_size", "n_soft_tokens", "beams", "bootstrap"):
        assert getattr(profile, name) > 0, name
    assert profile.batch_size % profile.micro_batch == 0
    assert profile.n_users is None or profile.n_users > 0
    assert 0 < profile.learning_rate < 0.1
    assert profile.steps is None or profile.steps > 0
    assert profile.n_test is None or 0 < profile.n_test <= profile.n_users
    assert profile.n_users or profile.data, "simulated users are counted"


def test_smoke_is_the_smallest():
    for name in ("n_users", "n_test", "n_map_users", "steps", "bootstrap"):
        assert getattr(SMOKE, name) <= getattr(DEFAULT, name), name


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_only_the_first_two_profiles_are_offline(profile):
    offline = (profile.encoder, profile.llm, profile.data) == ("minilm", "standin", None)
    assert offline == (profile in (SMOKE, DEFAULT)) and (offline or profile.data == "data/time")


def test_paper_is_the_papers_setting_and_the_large_profiles_differ_in_the_llm_alone():
    assert (PAPER.llm, PAPER.encoder) == ("google/flan-t5-xxl", "BAAI/bge-base-en-v1.5")
    assert (PAPER.batch_size, PAPER.learning_rate, PAPER.epochs, PAPER.steps) == (64, 1e-4, 2, None)
    assert (PAPER.n_soft_tokens, PAPER.train_input_encoder, PAPER.beams) == (1, True, 4)
    assert (PAPER.n_users, PAPER.n_test, PAPER.items_as_questions) == (None, None, False)
    for profile in (GPU, LLAMA, QWEN):
        assert replace(profile, name="paper", llm=PAPER.llm) == PAPER


def test_steps_count_every_visit_of_every_epoch_and_are_taken_as_they_are_where_given():
    assert training_steps(PAPER, TASKS["LaMP-4"], 6400) == 200 and training_steps(PAPER, TASKS["LaMP-3"], 6400) == 100
    eleven = replace(PAPER, visits=11)
    assert training_steps(eleven, TASKS["LaMP-4"], 6400) == 2200 and "11 visits each" in card(eleven)
    assert training_steps(PAPER, TASKS["LaMP-4"], 3) == 1
    assert training_steps(replace(DEFAULT, visits=11), TASKS["LaMP-4"], 6400) == DEFAULT.steps


def test_a_laptop_needs_few_users_and_a_small_llm():
    assert LAPTOP.llm == "google/flan-t5-small" and LAPTOP.n_users and LAPTOP.steps and LAPTOP.beams == 1


@pytest.mark.parametrize("name", PROFILES)
def test_the_run_card_tells_every_choice(name):
    profile = PROFILES[name]
    told = card(profile)
    for field, value in asdict(profile).items():
        if field in ("llm", "encoder", "batch_size", "learning_rate", "n_soft_tokens") or (field == "steps" and value):
            assert f"{value:g}" in told if isinstance(value, float) else str(value) in told
    assert ("beams" in told) == (profile.beams > 1) and ("at once" in told) == (
        profile.micro_batch < profile.batch_size
    )
    assert ("history items" in told) == profile.items_as_questions and ("epochs" in told) == (profile.steps is None)
    assert ("computed again" in told) == profile.checkpointing


def test_no_two_profiles_have_the_same_card():
    assert len({card(profile) for profile in PROFILES.values()}) == len(PROFILES)
