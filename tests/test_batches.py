"""Batches: padding, subsampling, and the order of visits."""

import random

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from pplug.method.batches import Visits, collate, prepare_example, subsample
from pplug.method.llm import load_llm
from pplug.method.model import build
from pplug.method.prompts import prompt_ids


def test_a_batch_is_padded_to_its_own_longest_and_no_further(model):
    some = tiny.examples(model)[:4]
    batch = collate(model, some)
    longest = max(len(e.input_ids) + (0 if model.is_encoder_decoder else len(e.target_ids)) for e in some)
    assert batch["input_ids"].shape[1] == longest
    assert batch["history"].shape[1] == max(len(e.history) for e in some)
    assert batch["history_mask"].sum(dim=1).tolist() == [len(e.history) for e in some]


def test_the_instruction_only_control_gets_no_history(llm):
    control = build(*llm, tiny.MadeUpEncoder(), user=False)
    batch = collate(control, tiny.examples(control))
    assert not batch["history_mask"].any() and not batch["history"].any()


@given(st.integers(0, 40), st.integers(0, 10_000))
def test_subsampling_drops_at_most_half_and_keeps_the_order(n, seed):
    history = np.arange(n)[:, None]
    kept = subsample(history, random.Random(seed))[:, 0].tolist()
    assert kept == sorted(set(kept)) and len(kept) >= n / 2
    assert n > 2 or len(kept) == n


def test_subsampling_does_drop_items_and_keeps_one_draw_in_eleven_whole():
    sizes = [len(subsample(np.zeros((100, 1)), random.Random(i))) for i in range(2200)]
    assert 0.06 < np.mean(np.array(sizes) == 100) < 0.15
    assert min(sizes) < 55 and 70 < np.mean(sizes) < 82


def test_every_example_is_visited_once_before_any_is_visited_twice(model):
    visits = Visits(tiny.examples(model, 5), 12, seed=3)
    assert sorted(visits.order[:5]) == sorted(visits.order[5:10]) == list(range(5)) and len(visits) == 12
    again = Visits(tiny.examples(model, 5), 12, seed=3)
    assert all(np.array_equal(visits[i].history, again[i].history) for i in range(12))


def test_no_training_examples_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="no training examples"):
        Visits([], 3, 0)


def test_a_target_ends_with_the_end_token(model):
    nothing = tiny.vectors(0)
    made = prepare_example(model, "one", "two", nothing, tiny.vectors(1)[0], "one")
    assert made.target_ids[-1] == model.tokenizer.eos_token_id
    assert made.target_ids.count(model.tokenizer.eos_token_id) == 1


@pytest.mark.parametrize("kind", ["llama", "qwen"])
def test_in_a_chat_the_soft_prompt_stands_at_the_beginning_of_what_the_user_says(kind, tmp_path):
    llm, tokenizer = load_llm(str(tiny.save_llm(kind, tmp_path, chat=True)))
    before, asked = prompt_ids(tokenizer, "one two", is_encoder_decoder=False)
    whole = tokenizer.apply_chat_template(
        [{"role": "user", "content": "one two"}], tokenize=False, add_generation_prompt=True
    )
    assert "".join(tokenizer.decode(before + asked).split()) == "".join(whole.split())
    assert tokenizer.decode(asked).strip().startswith("one two") and "one" not in tokenizer.decode(before)
    cut = prompt_ids(tokenizer, "one two " * 300, is_encoder_decoder=False, most=10)
    assert cut[0] == before and len(cut[1]) == 10 + len(asked) - len(
        tokenizer("one two", add_special_tokens=False).input_ids
    )
    model = build(llm, tokenizer, tiny.MadeUpEncoder())
    made = [prepare_example(model, "one two", "three", np.zeros((0, 8)), np.zeros(8), "")]
    embedded, mask = model.join(**collate(model, made, for_generation=True))
    soft = model.plug.tokens
    table = llm.get_input_embeddings()
    assert torch.equal(embedded[0, : len(before)], table(torch.tensor(before)))
    assert torch.equal(embedded[0, len(before) + soft :], table(torch.tensor(asked))) and bool(mask.all())
