"""`python -m pplug evaluate`: on texts as long as real ones the question is whole; no committed record is touched."""

import json
from dataclasses import replace

import pytest

from pplug import config
from pplug.__main__ import main
from pplug.method import answering
from pplug.offline.simulate import simulate
from pplug.study import records


def real_abstracts(folder, task: str = "LaMP-5", words: int = 160):
    """Users whose inputs and items are as long as real abstracts: four of them are more than 512 tokens."""
    simulate(folder, task, 6, seed=3)
    for path in folder.glob("*_questions.json"):
        questions = json.loads(path.read_text())
        for number, question in enumerate(questions):
            question["input"] += "".join(f" word{number}x{i}" for i in range(words // 8)) + f" end{number}"
            for item in question["profile"]:
                item["abstract"] += " on the method we propose" * (words // 5)
            question["profile"] = question["profile"][-5:]
        path.write_text(json.dumps(questions))


@pytest.fixture
def command(tmp_path, monkeypatch, tiny_profile):
    """`python -m pplug evaluate` with a small LLM; returns all that LLMs were given to answer, as text."""
    seen = []
    collate = answering.collate

    def watched(model, examples, **options):
        if options.get("for_generation"):
            seen.extend(model.tokenizer.decode(e.input_ids, skip_special_tokens=True) for e in examples)
        return collate(model, examples, **options)

    monkeypatch.setattr(answering, "collate", watched)
    monkeypatch.setattr(records, "FOLDER", tmp_path / "results")

    def run(task: str, data=None, *more: str) -> list[str]:
        small = replace(tiny_profile, data=data, n_test=3)
        monkeypatch.setattr(config, "get_profile", lambda *_: small)
        main(["evaluate", task, *more])
        return seen

    return run


@pytest.mark.fault(1)
def test_items_never_push_the_question_out_and_speak_lamps_words_to_a_real_llm(command, tmp_path):
    real_abstracts(tmp_path / "data" / "LaMP_5")
    seen = command("LaMP-5", str(tmp_path / "data"))
    with_items = [text for text in seen if "we propose" in text]
    questions = json.loads((tmp_path / "data" / "LaMP_5" / "test_questions.json").read_text())[:3]
    assert len(with_items) >= len(questions)
    for number, _ in enumerate(questions):
        assert any(text.endswith(f"end{number}") for text in with_items), f"question {number} is cut"
    assert all(any(text.endswith(f"end{n}") for n in range(6)) for text in with_items)
    assert not any("the title for" in text and 'the title for "' in text and '" is "' in text for text in with_items)


@pytest.mark.fault(7)
def test_evaluate_prints_and_writes_only_where_asked(command, tmp_path, capsys):
    kept = tmp_path / "results" / "main-smoke" / "LaMP-7-plug-s0.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("committed")
    command("LaMP-7")
    assert kept.read_text() == "committed" and sum(path.is_file() for path in (tmp_path / "results").rglob("*")) == 1
    assert "gain over" in capsys.readouterr().out


def test_evaluate_writes_its_record_where_asked(tmp_path, monkeypatch):
    record = {"task": "LaMP-7", "metrics": {}, "group": "controls", "scores": {}}
    monkeypatch.setattr("pplug.study.evaluate_live", lambda task, profile, seed: record)
    monkeypatch.setattr("pplug.study.gain_table", lambda records: "")
    main(["evaluate", "LaMP-7", "--out", str(tmp_path / "mine.json")])
    assert json.loads((tmp_path / "mine.json").read_text()) == record
