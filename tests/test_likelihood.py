"""The likelihood of a known text: against the loss, and against probabilities computed token by token."""

import numpy as np
import pytest
import tiny
import torch

from pplug.method.batches import collate
from pplug.method.likelihood import target_nats
from pplug.method.training import train
from pplug.rivals.distil import log_likelihoods


def test_their_mean_is_the_loss(model):
    examples = tiny.examples(model, 5)
    nats, tokens = target_nats(model, examples, batch_size=5)
    with torch.no_grad():
        loss = float(model(**collate(model, examples))["loss"])
    assert nats.sum() / tokens.sum() == pytest.approx(loss, rel=1e-5)
    assert tokens.tolist() == [len(example.target_ids) for example in examples]


def test_each_is_what_it_is_alone_in_the_order_given(model):
    examples = [
        tiny.example(model.tokenizer, "one " * n, "two " * (n % 3 + 1), n % 4, n, model.is_encoder_decoder)
        for n in (5, 1, 9, 3)
    ]
    together = target_nats(model, examples, batch_size=3)[0]
    alone = [target_nats(model, [example])[0][0] for example in examples]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_logits_of_the_question_are_not_computed(model):
    """Nor by the retriever's teacher, nor for the dev loss of a training."""
    examples = [tiny.example(model.tokenizer, "one " * 30, "two", 2, 2, model.is_encoder_decoder)] * 2
    with tiny.logits_counted(model.llm) as counted:
        target_nats(model, examples), log_likelihoods(model, examples)
        train(model, examples, examples, steps=1, batch_size=2)
    assert len(counted) >= 4 and max(counted) <= len(examples[0].target_ids) + 1


def test_it_is_the_sum_of_the_tokens_log_probabilities(model):
    (example,) = tiny.examples(model, 1)
    batch = collate(model, [example])
    with torch.no_grad():
        logits = model(**batch)["logits"][0]
    n = len(example.target_ids)
    logits = logits[:n] if model.is_encoder_decoder else logits[-n - 1 : -1]
    expected = -logits.log_softmax(-1)[range(n), example.target_ids].sum()
    assert target_nats(model, [example])[0][0] == pytest.approx(float(expected), rel=1e-5)
