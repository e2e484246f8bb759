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
    assert "384 numbers each" in capsys.readouterr().out


def test_a_table_becomes_lamp_files(tmp_path, capsys):
    lines = [f"ann,2024-01-{day:02d},article {day},title {day}" for day in range(1, 9)]
    (tmp_path / "t.csv").write_text("\n".join(["user,time,input,output", *lines]))
    main(["from-table", str(tmp_path / "t.csv"), "--folder", str(tmp_path / "own")])
    assert "1 users, 8 texts" in capsys.readouterr().out
    assert (tmp_path / "own" / "LaMP_4" / "test_questions.json").exists()


def test_workers_share_the_encoding(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PPLUG_CACHE", str(tmp_path / "cache"))
    main(["simulate", "LaMP-7", str(tmp_path / "LaMP_7"), "--users", "3"])
    for shard in ("1/2", "2/2", "1/1"):
        main(["encode", "LaMP-7", str(tmp_path / "LaMP_7"), "--shard", shard])
    first, second, whole = (int(line.split()[0]) for line in capsys.readouterr().out.splitlines()[-3:])
    assert abs(first - second) <= 1 and first + second == whole
    with pytest.raises(SystemExit):
        main(["encode", "LaMP-7", str(tmp_path / "LaMP_7"), "--shard", "3/2"])
    assert "expected i/n" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["from-table", "from-git"])
def test_a_source_that_is_not_there_ends_with_a_message(tmp_path, command):
    with pytest.raises(SystemExit, match="nothing"):
        main([command, str(tmp_path / "nothing.csv")])


def test_standin_trains_on_any_lamp_folder_and_records_its_scores(tmp_path, capsys, monkeypatch):
    from pplug.offline import curriculum

    tiny = {
        "width": 32,
        "feed_forward": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "heads": 2,
        "tokens_per_batch": 300,
    }
    recipe = curriculum.Recipe(**tiny)
    monkeypatch.setattr(curriculum, "Recipe", lambda: recipe)
    monkeypatch.setattr("pplug.offline.standin.SAMPLE", 1000)
    monkeypatch.setattr("pplug.offline.standin.DRAWN", 100)
    main(["simulate", "LaMP-4", str(tmp_path / "LaMP_4"), "--users", "4"])
    main(["standin", str(tmp_path / "out"), "--data", str(tmp_path), "--steps", "3", "--vocabulary", "400"])
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert set(scores) == {"LaMP-4"} and scores["LaMP-4"]["n"] == 4
    assert json.loads((tmp_path / "out" / "recipe.json").read_text())["recipe"]["steps"] == 3
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_train_saves_a_plug_that_generates(tmp_path, capsys, monkeypatch):
    from dataclasses import replace

    from pplug import config
    from pplug.method.model import PersonalizedLM

    small = replace(config.SMOKE, n_users=4, steps=2, batch_size=2)
    monkeypatch.setattr(config, "get_profile", lambda: small)
    main(["train", "LaMP-4", str(tmp_path / "plug")])
    model = PersonalizedLM.from_pretrained(tmp_path / "plug")
    history = [{"text": "The mayor approved a new bridge.", "title": "Why did the mayor approve a new bridge?"}]
    text = "Generate a headline for the following article: The bank delayed a loan scheme."
    assert isinstance(model.generate(text, model.user(history)), str)


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["personalise"])
