"""Summaries: one a user, from the newest items, none for an empty history."""

import pytest

from pplug.data.loading import load
from pplug.method.personalized import PersonalizedLM
from pplug.offline.simulate import simulate
from pplug.rivals.summary import ITEMS_READ, REQUEST, write_summaries
from pplug.study.rows import summary


@pytest.fixture
def asked(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(summary, "answer_prompts", lambda _, prompts, **options: seen.extend(prompts) or prompts)
    data = load(simulate(tmp_path, "LaMP-4", 4, seed=1), "LaMP-4")
    return data, data.splits["test"].to_list(), seen


@pytest.mark.parametrize("llm", ["standin", "google/flan-t5-small"])
def test_the_newest_items_are_read_in_words_the_llm_knows(asked, llm):
    data, examples, seen = asked
    plain = PersonalizedLM(None, None, facts={"llm": llm})
    assert write_summaries(plain, data, examples) == seen and len(seen) == len(examples)
    for example, text in zip(examples, seen, strict=True):
        shown = [data.items[row]["title"] in text for row in example["profile"]]
        assert all(shown[-ITEMS_READ:]) and text.startswith("describe the user: " if llm == "standin" else REQUEST)


def test_an_empty_history_has_no_summary(asked):
    data, examples, seen = asked
    plain = PersonalizedLM(None, None, facts={"llm": "standin"})
    assert write_summaries(plain, data, [examples[0] | {"profile": []}, examples[1]]) == ["", *seen]
    assert write_summaries(plain, data, [examples[0] | {"profile": []}]) == [""]
