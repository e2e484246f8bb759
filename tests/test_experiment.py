"""What every experiment begins with: data, and plugs that are trained once and again only where something changed."""

from dataclasses import replace

import numpy as np
import pytest
import tiny

from pplug.data.tasks import TASKS
from pplug.offline.simulate import simulate
from pplug.study import experiment
from pplug.study.experiment import available_tasks, fit, get_llm, task_data, test_examples, training_examples

test_examples.__test__ = False  # a function of the package, not a test


def test_a_plug_is_trained_once_and_then_loaded(monkeypatch, tiny_profile):
    first = fit("LaMP-3", tiny_profile)
    monkeypatch.setattr(experiment, "train", lambda *_, **__: pytest.fail("trained again"))
    again = fit("LaMP-3", tiny_profile)
    assert again.curve == first.curve and again.seconds == first.seconds
    for name, value in first.model.state_dict().items():
        assert np.array_equal(value.numpy(), again.model.state_dict()[name].numpy())
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        fit("LaMP-3", tiny_profile, seed=1)


@pytest.mark.fault(4)
@pytest.mark.parametrize("what", ["an output", "an item fewer", "the order", "the wording"])
def test_a_changed_training_set_of_the_same_files_is_trained_anew(monkeypatch, tiny_profile, what):
    """The code that makes examples of a folder may change; yesterday's weights are then not this plug's."""
    fit("LaMP-3", tiny_profile)
    made = experiment.training_examples

    def others(*given):
        first, *rest = made(*given)
        changed = {
            "an output": [first | {"output": "5" if first["output"] != "5" else "1"}, *rest],
            "an item fewer": [first | {"profile": first["profile"][:-1]}, *rest],
            "the order": [*rest, first],
            "the wording": [first | {"input": first["input"] + " again"}, *rest],
        }
        return changed[what]

    monkeypatch.setattr(experiment, "training_examples", others)
    monkeypatch.setattr(experiment, "train", lambda *_, **__: pytest.fail("trained again"))
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        fit("LaMP-3", tiny_profile)


def test_a_killed_training_goes_on(monkeypatch, tiny_profile):
    profile, given = replace(tiny_profile, steps=2, learning_rate=2e-3), []
    trained = experiment.train

    def killed(*arguments, **options):
        given.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        fit("LaMP-3", profile)
    monkeypatch.setattr(experiment, "train", lambda *a, **o: given.append(o) or trained(*a, **o))
    fit("LaMP-3", profile)
    first, second = given
    assert first["folder"] == second["folder"] and second["resume"] and not second["folder"].exists()


@pytest.mark.fault(2)
def test_an_llm_is_loaded_once_however_it_is_asked_for(tmp_path, monkeypatch):
    folder = tmp_path / "llm"
    tiny.save_llm("t5", folder)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    asked = [get_llm(str(folder)), get_llm(str(folder), False), get_llm(str(folder), sharded=False), get_llm("llm")]
    assert all(llm is asked[0][0] for llm, _ in [*asked, get_llm(str(tmp_path / "link"))])
    assert get_llm("standin")[0] is get_llm(str(experiment.SHIPPED), False)[0]


def test_own_data_replaces_the_simulated_users(tmp_path, tiny_profile):
    simulate(tmp_path / "LaMP_4", "LaMP-4", 4, seed=9)
    own = replace(tiny_profile, data=str(tmp_path))
    assert available_tasks(own) == ["LaMP-4"] and available_tasks(tiny_profile) == list(TASKS)
    assert task_data("LaMP-4", own).hash != task_data("LaMP-4", tiny_profile).hash


def test_where_test_outputs_are_withheld_dev_is_evaluated(tmp_path, tiny_profile):
    folder = simulate(tmp_path / "LaMP_4", "LaMP-4", 4, seed=9)
    (folder / "test_outputs.json").unlink()
    own = replace(tiny_profile, data=str(tmp_path))
    data = task_data("LaMP-4", own)
    assert [e["id"] for e in test_examples(data, own)] == data.splits["dev"]["id"]


def test_training_never_sees_a_dev_or_test_question(tiny_profile):
    data = task_data("LaMP-4", tiny_profile)
    asked = {(e["user_id"], e["input"]) for s in ("dev", "test") for e in data.splits[s]}
    assert len(training_examples(data)) > len(data.splits["train"])
    assert not asked & {(e["user_id"], e["input"]) for e in training_examples(data)}


def test_data_without_a_train_split_or_without_questions_to_ask_is_refused(tmp_path, tiny_profile):
    folder = simulate(tmp_path / "LaMP_7", "LaMP-7", 2, seed=9)
    for name in ("train", "test"):
        (folder / f"{name}_questions.json").unlink()
        (folder / f"{name}_outputs.json").unlink()
    (folder / "dev_questions.json").write_text("[]")
    (folder / "dev_outputs.json").write_text('{"task": "LaMP_7", "golds": []}')
    own = replace(tiny_profile, data=str(tmp_path))
    with pytest.raises(ValueError, match="no train_questions"):
        training_examples(task_data("LaMP-7", own))
    with pytest.raises(ValueError, match="no dev or test questions"):
        test_examples(task_data("LaMP-7", own), own)
