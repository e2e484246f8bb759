"""Costs are counted by hand where they can be."""

import numpy as np
import pytest
import tiny

from pplug.data.loading import load
from pplug.method.personalized import PersonalizedLM
from pplug.offline.simulate import simulate
from pplug.rivals import costs
from pplug.rivals.costs import count_trained, latency, prompt_tokens, text_bytes, vector_bytes


def test_prompt_tokens_are_the_inputs_the_items_and_the_soft_ones(model):
    examples = tiny.examples(model, 4)
    plain = PersonalizedLM(model.llm, model.tokenizer)
    own = np.mean([len(example.input_ids) for example in examples])
    assert prompt_tokens(plain, examples) == own and prompt_tokens(model, examples) == own + 2


def test_bytes_of_vectors_and_texts(model, tmp_path):
    examples = tiny.examples(model, 5)  # histories of 0 to 4 items
    assert vector_bytes(examples) == 2 * 2 * tiny.WIDTH
    data = load(simulate(tmp_path, "LaMP-7", 2, seed=0), "LaMP-7")
    rows = data.splits["test"].to_list()
    size = [sum(len(f'{{"text": "{data.items[i]["text"]}"}}'.encode()) for i in row["profile"]) for row in rows]
    assert text_bytes(data, rows) == pytest.approx(np.mean(size))


def test_trained_parameters_are_the_plugs(model):
    assert count_trained(model) == sum(p.numel() for p in model.plug.parameters())


def test_latency_is_a_ratio_of_medians(monkeypatch):
    ticks = iter(np.cumsum([0, 9, 0, 9] + [0, 3, 0, 1] * 3).tolist())  # a slow warm-up, then 3 against 1
    monkeypatch.setattr(costs, "predict", lambda *_, **__: None)
    monkeypatch.setattr(costs.time, "perf_counter", lambda: next(ticks))
    assert latency(None, [1, 2, 3], None, [1, 2, 3]) == 3
