"""LaMP's evaluation file, written by a run that may be stopped at any time."""

import json

import pytest
import tiny

from pplug.__main__ import main
from pplug.data.loading import load
from pplug.method import predictions
from pplug.method.encoders import load_encoder
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import build
from pplug.method.predictions import write_predictions
from pplug.offline.simulate import simulate


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    name = str(tiny.save_llm("t5", tmp_path_factory.mktemp("llm")))
    facts = {"task": "LaMP-4", "llm": name, "encoder": "minilm"}
    return build(*load_llm(name), load_encoder(), None, facts)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load(simulate(tmp_path_factory.mktemp("users") / "LaMP_4", "LaMP-4", 7, 0), "LaMP-4")


def test_the_file_is_lamps_and_holds_every_question_once(model, data, tmp_path):
    path = write_predictions(model, data, "test", tmp_path / "p.json", max_new_tokens=3)
    written = json.loads(path.read_text())
    assert list(written) == ["task", "golds"] and written["task"] == "LaMP_4"
    assert [gold["id"] for gold in written["golds"]] == [example["id"] for example in data.splits["test"]]
    assert all(set(gold) == {"id", "output"} for gold in written["golds"])
    assert [p.name for p in tmp_path.iterdir()] == ["p.json"]
    simulated = tmp_path / "again"
    for split in ("test",):  # the loader takes it as outputs: form and ids are what LaMP's evaluator expects
        simulated.mkdir()
        questions = [{**e, "profile": []} for e in data.splits[split].to_list()]
        (simulated / f"{split}_questions.json").write_text(json.dumps(questions))
        (simulated / f"{split}_outputs.json").write_text(path.read_text())
    assert load(simulated, "LaMP-4").splits["test"]["output"] == [gold["output"] for gold in written["golds"]]


@pytest.mark.parametrize("torn", ["", '"half an ans'])
def test_a_stopped_run_goes_on_and_ends_the_same(model, data, tmp_path, monkeypatch, torn):
    monkeypatch.setattr(predictions, "CHUNK", 2)
    whole = write_predictions(model, data, "dev", tmp_path / "whole.json", max_new_tokens=3).read_text()
    asked = []

    def stops(model, prepared, **options):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(prepared))
        return predict(model, prepared, **options)

    predict = predictions.predict
    monkeypatch.setattr(predictions, "predict", stops)
    with pytest.raises(KeyboardInterrupt):
        write_predictions(model, data, "dev", tmp_path / "p.json", max_new_tokens=3)
    assert not (tmp_path / "p.json").exists()
    with (tmp_path / ".p.json.part").open("a") as file:
        file.write(torn)
    rest = []
    monkeypatch.setattr(predictions, "predict", lambda m, p, **o: rest.append(len(p)) or predict(m, p, **o))
    assert write_predictions(model, data, "dev", tmp_path / "p.json", max_new_tokens=3).read_text() == whole
    assert (asked, rest) == ([2, 2], [2, 1]) and not (tmp_path / ".p.json.part").exists()


def test_another_plugs_answers_are_not_gone_on_with(model, data, tmp_path):
    (tmp_path / ".p.json.part").write_text('["another", "run"]\n"an answer"\n')
    texts = json.loads(write_predictions(model, data, "test", tmp_path / "p.json", max_new_tokens=3).read_text())
    assert len(texts["golds"]) == 7 and texts["golds"][0]["output"] != "an answer"


@pytest.mark.fault(26)
def test_the_answers_of_another_llm_or_encoder_are_not_gone_on_with(model, data, tmp_path, monkeypatch):
    """Under the same names: edited between a run that was stopped and the next."""
    monkeypatch.setattr(predictions, "CHUNK", 2)

    def left_over(change) -> int:
        """How many questions are answered when a run was stopped behind two answers, and `change` is made then."""
        answered = []

        def stops(model, prepared, **options):
            answered.append(len(prepared))
            if len(answered) == 2:
                raise KeyboardInterrupt
            return ["an answer"] * len(prepared)

        with monkeypatch.context() as patch:
            patch.setattr(predictions, "predict", stops)
            with pytest.raises(KeyboardInterrupt):
                write_predictions(model, data, "test", tmp_path / "p.json")
        with monkeypatch.context() as patch:
            change(patch)
            patch.setattr(predictions, "predict", lambda _, p, **__: answered.append(len(p)) or ["x"] * len(p))
            write_predictions(model, data, "test", tmp_path / "p.json")
        return sum(answered[2:])

    assert left_over(lambda patch: None) == 5
    assert left_over(lambda patch: patch.setattr(model.tokenizer, "chat_template", "another")) == 7
    assert left_over(lambda patch: patch.setattr(model.llm.config, "initializer_range", 0.5, raising=False)) == 7
    assert left_over(lambda patch: patch.setattr(model.encoder.module, "max_seq_length", 7)) == 7


def test_a_wrong_split_or_task_is_told(model, data, tmp_path):
    with pytest.raises(ValueError, match="no nowhere questions in this data; it has train, dev, test"):
        write_predictions(model, data, "nowhere", tmp_path / "p.json")
    other = load(simulate(tmp_path / "LaMP_7", "LaMP-7", 2, 0), "LaMP-7")
    with pytest.raises(ValueError, match="trained for LaMP-4, the data is of LaMP-7"):
        write_predictions(model, other, "test", tmp_path / "p.json")


def test_a_saved_plug_answers_another_split_from_the_command_line(model, tmp_path, capsys):
    model.save_pretrained(tmp_path / "plug")
    simulate(tmp_path / "others", "LaMP-4", 2, 5, prefix="other")
    main(
        [
            "predict",
            str(tmp_path / "plug"),
            str(tmp_path / "others"),
            "--split",
            "dev",
            "--out",
            str(tmp_path / "p.json"),
        ]
    )
    assert len(json.loads((tmp_path / "p.json").read_text())["golds"]) == 2
    assert "p.json" in capsys.readouterr().out
