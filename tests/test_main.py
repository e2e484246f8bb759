"""The commands of `python -m pplug`."""

import json

import pytest

from pplug.__main__ import COMMANDS, main


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(command in told for command in COMMANDS)


def test_simulate_and_encode(tmp_path, capsys):
    main(["simulate", "LaMP-7", str(tmp_path / "LaMP_7"), "--users", "3"])
    assert (tmp_path / "LaMP_7" / "factors.json").exists()
    main(["encode", "LaMP-7", str(tmp_path / "LaMP_7")])
    assert "distinct history texts are in the store" in capsys.readouterr().out


def test_a_table_becomes_lamp_files(tmp_path, capsys):
    lines = [f"ann,2024-01-{day:02d},article {day},title {day}" for day in range(1, 9)]
    (tmp_path / "t.csv").write_text("\n".join(["user,time,input,output", *lines]))
    main(["from-table", str(tmp_path / "t.csv"), "--folder", str(tmp_path / "own")])
    assert "1 users, 8 texts" in capsys.readouterr().out
    assert (tmp_path / "own" / "LaMP_4" / "test_questions.json").exists()


@pytest.mark.parametrize("command", ["from-table", "from-git"])
def test_a_source_that_is_not_there_ends_with_a_message(tmp_path, command):
    with pytest.raises(SystemExit, match="nothing"):
        main([command, str(tmp_path / "nothing.csv")])


@pytest.mark.long
def test_standin_trains_on_any_lamp_folder_and_records_its_scores(tmp_path, capsys, monkeypatch):
    from pplug.offline import curriculum, standin_minilm  # the latter is to be imported unchanged

    tiny = {
        "width": 32,
        "feed_forward": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "heads": 2,
        "tokens_per_batch": 300,
    }
    recipe = curriculum.Recipe(**tiny)
    assert standin_minilm.MINILM
    monkeypatch.setattr(curriculum, "Recipe", lambda: recipe)
    monkeypatch.setattr("pplug.offline.standin_training.SAMPLE", 1000)
    monkeypatch.setattr("pplug.offline.standin_training.DRAWN", 100)
    main(["simulate", "LaMP-4", str(tmp_path / "LaMP_4"), "--users", "4"])
    main(["standin", str(tmp_path / "out"), "--data", str(tmp_path), "--steps", "3", "--vocabulary", "400"])
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert set(scores) == {"LaMP-4"} and scores["LaMP-4"]["n"] == 4
    assert json.loads((tmp_path / "out" / "recipe.json").read_text())["recipe"]["steps"] == 3
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_train_saves_a_plug_that_generates(tmp_path, capsys, monkeypatch):
    from dataclasses import replace

    from pplug import config
    from pplug.method.personalized import PersonalizedLM

    small = replace(config.SMOKE, n_users=4, steps=2, batch_size=2)
    monkeypatch.setattr(config, "get_profile", lambda: small)
    main(["train", "LaMP-4", str(tmp_path / "plug")])
    model = PersonalizedLM.from_pretrained(tmp_path / "plug")
    history = [{"text": "The mayor approved a new bridge.", "title": "Why did the mayor approve a new bridge?"}]
    text = "Generate a headline for the following article: The bank delayed a loan scheme."
    assert isinstance(model.generate(text, model.user(history)), str)


TASK = {
    "name": "replies",
    "template": "Reply to: {input}",
    "fields": ["input", "output"],
    "held_out": ["input", "output"],
}


@pytest.fixture
def own(tmp_path):
    """A data folder with a task of its own and a table for it."""
    folder = tmp_path / "own" / "replies"
    folder.mkdir(parents=True)
    (folder / "task.json").write_text(json.dumps(TASK))
    lines = [f"{user},2024-01-{day:02d},{user} asks {day}?,yes {day}" for user in ("ann", "bob") for day in range(1, 9)]
    (tmp_path / "t.csv").write_text("\n".join(["user,time,input,output", *lines]))
    return folder


def test_a_task_of_ones_own_goes_through_every_command_that_takes_a_folder(own, tmp_path, capsys):
    main(["from-table", str(tmp_path / "t.csv"), "--task", "replies", "--folder", str(own.parent)])
    assert "2 users, 16 texts" in capsys.readouterr().out
    questions = json.loads((own / "test_questions.json").read_text())
    assert questions[0]["input"] == "Reply to: ann asks 8?" and len(questions[0]["profile"]) == 7
    main(["encode", "replies", str(own)])
    assert "14 distinct history texts are in the store" in capsys.readouterr().out
    main(["forget", "replies", str(own), "ann"])
    assert "removed: 3 questions," in capsys.readouterr().out


def test_a_plug_for_a_task_of_ones_own_is_trained_in_its_folder(own, tmp_path, monkeypatch, tiny_profile):
    from dataclasses import replace

    from pplug import config
    from pplug.study.experiment import fit

    main(["from-table", str(tmp_path / "t.csv"), "--task", "replies", "--folder", str(own.parent)])
    small = replace(tiny_profile, n_users=None, data=str(own.parent))
    monkeypatch.setattr(config, "get_profile", lambda: small)
    model = fit("replies", small).model
    assert model.task.name == "replies" and model.task.fields == ("input", "output")
    user = model.user([{"input": "a?", "output": "b"}])
    assert isinstance(model.generate("Reply to: lunch?", user, max_new_tokens=2), str)


@pytest.mark.parametrize("command", ["encode", "forget"])
def test_a_task_that_is_nowhere_ends_with_the_names_there_are(own, command):
    with pytest.raises(SystemExit, match=r"unknown task 'mails': expected one of LaMP-1, .*, replies"):
        main([command, "mails", str(own), *(["ann"] if command == "forget" else [])])


def test_changing_the_task_changes_the_data(own, tmp_path):
    """A working copy of one task's fields is not taken for another's."""
    from pplug.data.loading import load

    item = {"input": "a?", "output": "b", "mood": "good"}
    (own / "test_questions.json").write_text(json.dumps([{"id": "1", "input": "Reply to: x", "profile": [item]}]))
    before = load(own, "replies")
    (own / "task.json").write_text(json.dumps(TASK | {"fields": ["input", "output", "mood"]}))
    after = load(own, "replies")
    assert before.history_texts() == ["a? b"] and after.history_texts() == ["a? b good"]
    assert before.hash != after.hash


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["personalise"])
