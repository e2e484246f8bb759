"""Predictions in order, histories that are another user's, and controls that control."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.method import evaluate
from pplug.method.batches import Example
from pplug.method.evaluate import answer_prompts, predict, swap_histories
from pplug.method.prompts import MAX_INPUT, MAX_PROMPT

EMPTY = np.zeros((0, 2), dtype=np.float16)


# Other users' histories


def examples_of(owners: list[int]) -> list[Example]:
    """Examples whose history tells whose it is."""
    return [
        Example([i], [i], np.full((owner, 2), owner, dtype=np.float16), np.zeros(2, dtype=np.float16), f"query {i}")
        for i, owner in enumerate(owners)
    ]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=12).filter(lambda some: len(set(some)) > 1), st.integers())
def test_nobody_gets_the_own_history_and_all_else_stays(owners, seed):
    before = examples_of(owners)
    swapped = swap_histories(before, [f"u{owner}" for owner in owners], seed)
    for mine, other, owner in zip(before, swapped, owners, strict=True):
        assert len(other.history) != owner and any(other.history is some.history for some in before)
        assert (other.input_ids, other.target_ids, other.query_text) == (
            mine.input_ids,
            mine.target_ids,
            mine.query_text,
        )
        assert other.query is mine.query and len(mine.history) == owner


def test_swapping_is_seeded():
    owners = list(range(20))
    names = [str(owner) for owner in owners]

    def donors(seed: int) -> list[int]:
        return [len(example.history) for example in swap_histories(examples_of(owners), names, seed)]

    assert donors(0) == donors(0) != donors(1)


@pytest.mark.parametrize("names", [["u"], ["u", "u", "u"], []])
def test_one_user_alone_cannot_be_swapped(names):
    with pytest.raises(ValueError, match="at least two users"):
        swap_histories(examples_of([1] * len(names)), names, 0)


# Predictions and controls


class Echo:
    """Stands for a model: says its name, the tokens it is asked and how many items it is told."""

    def __init__(self, name: str = "model"):
        self.name, self.batches, self.options = name, [], []
        self.llm = self.encoder = None
        self.tokenizer, self.is_encoder_decoder, self.model_max_length = self, True, 10**6

    def __call__(self, prompt, truncation, max_length):
        assert truncation and max_length in (MAX_INPUT, MAX_PROMPT)
        return {"input_ids": [ord(letter) for letter in prompt]}

    def generate_batch(self, examples, **options):
        self.batches.append([len(example.input_ids) for example in examples])
        self.options.append(options)
        return [f"{''.join(map(chr, example.input_ids))}|{len(example.history)}" for example in examples]


@pytest.fixture
def echo(monkeypatch):
    def collate(model, examples, for_generation):
        assert for_generation
        return examples

    monkeypatch.setattr(evaluate, "collate", collate)
    return Echo()


@settings(max_examples=30)
@given(st.lists(st.text("abc", max_size=6), max_size=12), st.integers(1, 5))
def test_predictions_come_in_the_order_given(texts, batch_size):
    model = Echo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "collate", lambda model, examples, for_generation: examples)
        found = predict(model, [Example([*map(ord, text)], [], EMPTY, EMPTY, "") for text in texts], batch_size)
    assert found == [f"{text}|0" for text in texts]
    assert [n for batch in model.batches for n in batch] == sorted(map(len, texts)), "batches of similar length"
    assert all(0 < len(batch) <= batch_size for batch in model.batches)


def test_prompts_are_answered_as_text_alone_with_the_options_given(echo):
    assert answer_prompts(echo, ["b", "aa"], num_beams=2) == ["b|0", "aa|0"]
    assert echo.options == [{"num_beams": 2}]
