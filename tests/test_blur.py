"""blur.py: how far a blurred number may lie from the sharp one, and that a service needs no histories."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pplug.insight import blur, maps
from pplug.method.evaluation import predict
from pplug.method.personalized import build

vectors = arrays(np.float32, (6, 4), elements=st.floats(-1, 1, width=32))


@settings(max_examples=80, deadline=None)
@given(vectors, st.integers(2, 8))
def test_a_rounded_number_is_within_half_a_step_or_cut_at_three_spreads(like, bits):
    rounded = blur.round_to(bits, like)(like)
    middle, spread = like.mean(axis=0), like.std(axis=0)
    cut = np.clip(like, middle - 3 * spread, middle + 3 * spread)
    assert (np.abs(rounded - cut) <= 3 * spread / 2**bits * 1.001 + 1e-5).all()
    assert max(len(np.unique(column)) for column in rounded.T) <= 2**bits


@settings(max_examples=80, deadline=None)
@given(vectors)
def test_one_bit_keeps_the_side(like):
    rounded, middle = blur.round_to(1, like)(like), like.mean(axis=0)
    clear = np.abs(like - middle) > 1e-4
    assert ((rounded > middle) == (like > middle))[clear].all()


def test_more_bits_are_closer():
    like = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    errors = [np.abs(blur.round_to(bits, like)(like) - like).mean() for bits in (1, 2, 4, 8, 12)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.01


def test_noise_is_as_large_as_it_says_and_new_at_each_call():
    like = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32) * [1, 10, 0]
    noise = blur.add_noise(2.0, like, seed=0)
    first, second = noise(like) - like, noise(like) - like
    np.testing.assert_allclose(first.std(axis=0), [2, 20, 0], rtol=0.05, atol=1e-6)
    assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.1
    assert np.array_equal(blur.add_noise(2.0, like, seed=0)(like), first + like) or np.allclose(
        blur.add_noise(2.0, like, seed=0)(like), first + like, atol=1e-5
    )


def test_keeping_all_changes_nothing():
    like = np.ones((2, 3))
    assert blur.keep_all(like)(like) is like


@pytest.mark.parametrize(
    "choices",
    [
        {"soft_tokens": 1},
        {"soft_tokens": 3},
        pytest.param({"normalise": False}, marks=pytest.mark.fault(14)),
        pytest.param({"normalise": False, "soft_tokens": 3, "embedding_norm": 7.0}, marks=pytest.mark.fault(14)),
    ],
)
def test_a_service_answers_from_the_vectors_as_the_plug_does_from_histories(llm, choices):
    torch.manual_seed(0)
    model = build(*llm, tiny.MadeUpEncoder(), **choices)
    users = [tiny.example(model.tokenizer, "one two", "three", n, n, model.is_encoder_decoder) for n in (1, 4, 9, 2, 3)]
    users = [replace(user, query=users[0].query) for user in users]
    vectors = maps.user_embeddings(model, users)
    nobody = [replace(user, history=user.history[:0]) for user in users]
    options = {"max_new_tokens": 5}
    expected = predict(model, users, **options)
    assert blur.answer_from(model, nobody, vectors, batch_size=2, **options) == expected
    assert predict(model, users, **options) == expected  # the model itself is as it was
    seen = []
    reader = model.llm.get_encoder() if model.is_encoder_decoder else model.llm
    reader.register_forward_pre_hook(lambda *given: seen.append(given[-1].get("inputs_embeds")), with_kwargs=True)
    blur.answer_from(model, nobody, vectors, **options), predict(model, users, **options)
    joined = [one for one in seen if one is not None]
    # What the LLM is given in front of the input is the same, up to rounding.
    np.testing.assert_allclose(joined[0], joined[len(joined) // 2], atol=1e-5)
