"""The shapes of well-known models, counted without a download."""

import pytest
import torch

from pplug.study.shapes import SHAPES, count, make_config, make_model

PUBLISHED = {  # millions of parameters, as the model cards or papers round them
    "google/flan-t5-small": 77,
    "google/flan-t5-base": 248,
    "google/flan-t5-xl": 2850,
    "google/flan-t5-xxl": 11135,
    "meta-llama/Llama-3.1-8B-Instruct": 8030,
    "Qwen/Qwen2.5-7B-Instruct": 7616,
    "minilm": 22.7,
    "BAAI/bge-small-en-v1.5": 33.4,
    "BAAI/bge-base-en-v1.5": 109,
}


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_are_as_many_as_published(name):
    assert count(name)["total"] / 1e6 == pytest.approx(PUBLISHED[name], rel=0.006)


def test_a_token_passes_through_less_than_there_is():
    for name in SHAPES:
        parts = count(name)
        assert sum(parts.get(part, 0) for part in ("encoder", "decoder")) <= parts["total"]
    assert count("google/flan-t5-xxl")["width"] == 4096 and "encoder" not in count("Qwen/Qwen2.5-7B-Instruct")


def test_a_model_of_a_shape_can_be_small():
    small = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 8, "vocab_size": 32}
    model = make_model("Qwen/Qwen2.5-7B-Instruct", num_attention_heads=2, num_key_value_heads=1, **small)
    assert model(torch.tensor([[1, 2]])).logits.shape == (1, 2, 32)


def test_an_unknown_shape_is_told_with_those_that_are_known():
    with pytest.raises(ValueError, match="the shape of 'x' is not known here; known are google/flan-t5-small"):
        make_config("x")
