"""Every row is what it is called, and the question is whole in it, whatever the LLM."""

import json
from dataclasses import replace

import families
import numpy as np
import pytest
import tiny

from pplug import config
from pplug.__main__ import main
from pplug.data.tasks import prompt_as_lamp, prompt_with_persona
from pplug.method import evaluate
from pplug.method.prompts import MAX_PROMPT
from pplug.offline.simulate import simulate
from pplug.study import records, rows
from pplug.study.names import BM25_1, BM25_4, EVALUATED, INSTRUCTION, NONE, OTHER, PERSONA, PLUG
from pplug.study.setting import Setting

PROFILE = replace(config.get_profile("smoke"), n_users=6, n_test=4, steps=1, batch_size=4, bootstrap=40)


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return str(tiny.save_llm("t5", tmp_path_factory.mktemp("llm")))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return families.save_family("bge", tmp_path_factory.mktemp("bge"), ["a headline of the article"] * 9)


@pytest.fixture(scope="module")
def setting(llm, encoder):
    return Setting("LaMP-4", replace(PROFILE, llm=llm, encoder=encoder), 0)


def given(setting, row):
    return rows.CONTROLS[row](setting)


def said(setting, row) -> list[str]:
    model, prepared = given(setting, row)
    return [model.tokenizer.decode(e.input_ids, skip_special_tokens=True) for e in prepared]


def test_every_control_has_the_model_and_the_history_it_is_called_after(setting):
    assert list(rows.CONTROLS) == list(EVALUATED)
    for row in (NONE, BM25_1, BM25_4, PERSONA):
        assert given(setting, row)[0].plug is None
    assert not given(setting, INSTRUCTION)[0].plug.config.user and given(setting, PLUG)[0].plug.config.user
    own, foreign = given(setting, PLUG)[1], given(setting, OTHER)[1]
    for mine, swapped in zip(own, foreign, strict=True):
        assert not np.array_equal(mine.history, swapped.history) and mine.input_ids == swapped.input_ids
        assert any(np.array_equal(swapped.history, other.history) for other in own)


def test_items_and_personas_stand_as_text_in_front_of_the_question(setting):
    data, task = setting.data, setting.data.task
    ranked = setting.ranked("BM25")
    for k, row in ((1, BM25_1), (4, BM25_4)):
        for example, best, text in zip(setting.examples, ranked, said(setting, row), strict=True):
            items = [data.items[i] for i in reversed(best[:k])]
            whole = prompt_as_lamp(task, items, example["input"])
            ids = setting.plain.tokenizer(whole)["input_ids"]
            if len(ids) <= MAX_PROMPT:
                assert text == setting.plain.tokenizer.decode(ids, skip_special_tokens=True)
    for example, text in zip(setting.examples, said(setting, PERSONA), strict=True):
        told = prompt_with_persona(data.factors[example["user_id"]]["persona"], example["input"])
        ids = setting.plain.tokenizer(told)["input_ids"]
        assert text == setting.plain.tokenizer.decode(ids, skip_special_tokens=True)


def test_only_the_rows_asked_for_are_answered_and_no_persona_of_real_users(setting, monkeypatch):
    monkeypatch.setattr(Setting, "answers", lambda s, model, prepared: ["answer"] * len(prepared))
    assert tuple(rows.controls(setting, only=(PLUG, NONE))) == (NONE, PLUG)
    assert tuple(rows.controls(setting)) == EVALUATED
    real = setting.on(replace(setting.data, factors=None), setting.examples)
    assert set(EVALUATED) - set(rows.controls(real)) == {PERSONA}


def test_other_questions_keep_the_plugs(setting):
    assert setting.on(setting.data, setting.examples[:2]).plug is setting.plug


# The whole command, on texts as long as real ones


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
def command(tmp_path, monkeypatch, llm, encoder):
    """`python -m pplug evaluate` with a small LLM; returns all that LLMs were given to answer, as text."""
    seen = []
    collate = evaluate.collate

    def watched(model, examples, **options):
        if options.get("for_generation"):
            seen.extend(model.tokenizer.decode(e.input_ids, skip_special_tokens=True) for e in examples)
        return collate(model, examples, **options)

    monkeypatch.setattr(evaluate, "collate", watched)
    monkeypatch.setattr(records, "FOLDER", tmp_path / "results")

    def run(task: str, data=None, *more: str) -> list[str]:
        small = replace(PROFILE, llm=llm, encoder=encoder, data=data, n_test=3)
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


def test_evaluate_writes_its_record_where_asked(command, tmp_path):
    command("LaMP-7", None, "--out", str(tmp_path / "mine.json"))
    record = json.loads((tmp_path / "mine.json").read_text())
    assert record["task"] == "LaMP-7" and set(record["scores"]) == set(EVALUATED)
    known = {"profile", "data_hash", "encoder", "llm", "seed", "commit", "versions", "hardware", "seconds", "n"}
    assert known <= set(record)
