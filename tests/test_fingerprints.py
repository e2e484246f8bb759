"""fingerprints.py: the same for the same LLM, however loaded; another as soon as anything changes what it does."""

import shutil
import time
from dataclasses import replace

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from pplug.method import fingerprints
from pplug.method.fingerprints import LLM_PARTS, difference, encoder_fingerprint, llm_fingerprint, weights_hash
from pplug.method.llm_loading import load_llm


@pytest.fixture(params=["t5", "llama", "qwen"])
def folder(request, tmp_path):
    return tiny.save_llm(request.param, tmp_path / "llm", chat=True)


def of(folder) -> str:
    return llm_fingerprint(*load_llm(str(folder)))


def changed(folder, before) -> set[str]:
    """Which parts are others than before."""
    return difference(LLM_PARTS, before, of(folder))


def test_it_is_hexadecimal_and_does_not_depend_on_place_name_or_use(folder, tmp_path):
    first = of(folder)
    assert len(first) == 48 and int(first, 16)
    assert of(shutil.copytree(folder, tmp_path / "elsewhere")) == first
    llm, tokenizer = load_llm(str(folder))
    tokenizer(["one", "two three four"], padding=True, truncation=True, max_length=2)
    llm.generate(torch.tensor([[5, 6]]), max_new_tokens=2)
    llm.config._commit_hash = "c" * 40
    assert llm_fingerprint(llm, tokenizer) == first


def test_saved_and_loaded_again_it_is_the_same(folder, tmp_path):
    llm, tokenizer = load_llm(str(folder))
    llm.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    assert of(tmp_path / "again") == llm_fingerprint(llm, tokenizer)


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
def test_single_precision_and_bfloat16_have_one(folder, stored):
    """Whatever the file's precision is."""
    weights = {name: value.to(stored) for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    _, tokenizer = load_llm(str(folder))
    kind = AutoModelForSeq2SeqLM if "t5" in (folder / "config.json").read_text() else AutoModelForCausalLM
    both = {
        llm_fingerprint(kind.from_pretrained(folder, dtype=dtype, use_safetensors=True), tokenizer)
        for dtype in (torch.float32, torch.bfloat16)
    }
    assert len(both) == 1


def test_one_weight_one_setting_one_token_or_the_template_changes_its_part_alone(folder):
    before = of(folder)
    files = {name: (folder / name).read_bytes() for name in ("model.safetensors", "config.json", "tokenizer.json")}
    weights = {name: value.clone() for name, value in load_file(folder / "model.safetensors").items()}
    next(iter(weights.values())).flatten()[7] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert changed(folder, before) == {"weights"}
    (folder / "model.safetensors").write_bytes(files["model.safetensors"])
    text = files["config.json"].decode().replace('"vocab_size"', '"initializer_range": 0.5, "vocab_size"')
    (folder / "config.json").write_text(text)
    assert changed(folder, before) == {"config"}
    (folder / "config.json").write_bytes(files["config.json"])
    text = files["tokenizer.json"].decode().replace('"!": 2,', '"!": 4,').replace('"#": 4,', '"#": 2,')
    (folder / "tokenizer.json").write_text(text)
    assert changed(folder, before) == {"tokenizer"}
    (folder / "tokenizer.json").write_bytes(files["tokenizer.json"])
    (folder / "chat_template.jinja").write_text(tiny.CHAT.replace("answer", "reply"))
    assert changed(folder, before) == {"tokenizer"}
    (folder / "chat_template.jinja").write_text(tiny.CHAT)
    assert changed(folder, before) == set()


def test_the_end_tokens_of_the_generation_config_count_its_habits_do_not(folder):
    llm, tokenizer = load_llm(str(folder))
    before = llm_fingerprint(llm, tokenizer)
    llm.generation_config.repetition_penalty = 1.3
    assert llm_fingerprint(llm, tokenizer) == before
    llm.generation_config.eos_token_id = [1, 5]
    assert difference(LLM_PARTS, before, llm_fingerprint(llm, tokenizer)) == {"config"}


def test_an_edit_in_memory_counts_as_one_on_disk(folder):
    llm, tokenizer = load_llm(str(folder))
    before = llm_fingerprint(llm, tokenizer)
    with torch.no_grad():
        llm.get_input_embeddings().weight[3] += 0.5
    assert difference(LLM_PARTS, before, llm_fingerprint(llm, tokenizer)) == {"weights"}


def test_of_a_large_model_a_sample_of_each_tensor_is_hashed_in_all_columns(monkeypatch):
    monkeypatch.setattr(fingerprints, "WHOLE", 1000)
    monkeypatch.setattr(fingerprints, "SAMPLE", 64)
    torch.manual_seed(0)
    module = torch.nn.Linear(64, 128)
    before = weights_hash(module)
    hits = 0
    for column in range(64):
        with torch.no_grad():
            module.weight[:, column] += 1
            hits += weights_hash(module) != before
            module.weight[:, column] -= 1
    assert hits == 64, "a step that divides the width would see some columns alone"
    with torch.no_grad():
        module.weight *= 1.1
    assert weights_hash(module) != before


def test_weights_that_are_not_in_memory_count_by_shape():
    with torch.device("meta"):
        one, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 4)
    assert weights_hash(one) != weights_hash(other) and weights_hash(one) == weights_hash(one)
    assert weights_hash(None) == weights_hash(torch.nn.Identity())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("float32", "bfloat16", True),
        ("float16", "float16", True),
        ("float16", "float32", False),
        ("quantized", "quantized", False),
        ("quantized", "bfloat16", False),
    ],
)
def test_which_precisions_are_comparable(one, other, same):
    assert fingerprints.has_same_weights(one, other) == same == fingerprints.has_same_weights(other, one)


def test_an_encoder_s_settings_and_weights_both_count():
    encoder = tiny.MadeUpEncoder(module=torch.nn.Linear(2, 2))
    first = encoder_fingerprint(encoder)
    assert len(first) == 32
    others = [replace(encoder, fingerprint="other"), replace(encoder, width=9)]
    parts = [difference(fingerprints.ENCODER_PARTS, first, encoder_fingerprint(other)) for other in others]
    assert parts == [{"settings"}, {"settings"}]
    other = tiny.MadeUpEncoder(module=torch.nn.Linear(2, 2))
    assert difference(fingerprints.ENCODER_PARTS, first, encoder_fingerprint(other)) == {"weights"}


def test_the_stand_in_s_takes_no_time():
    llm, tokenizer = load_llm("standin")
    start = time.process_time()
    llm_fingerprint(llm, tokenizer)
    assert time.process_time() - start < 0.5  # 0.05 s
