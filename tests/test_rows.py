"""Every row is what it is called, and the question is whole in it, whatever the LLM."""

from dataclasses import replace

import numpy as np
import pytest

from pplug.data.tasks import prompt_as_lamp, prompt_with_persona
from pplug.method.budget import MAX_PROMPT
from pplug.study import rows
from pplug.study.names import BM25_1, BM25_4, EVALUATED, INSTRUCTION, NONE, OTHER, PERSONA, PLUG
from pplug.study.setting import Setting


@pytest.fixture(scope="module")
def setting(tiny_profile):
    return Setting("LaMP-4", tiny_profile, 0)


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
