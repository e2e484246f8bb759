"""Loading a frozen LLM by name, or taking one that is loaded; decoding without what its files say on top."""

import json

import families
import pytest
import tiny
import torch

from pplug.base.errors import InputError
from pplug.base.hardware import has_bfloat16
from pplug.method.batches import collate
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM, build
from pplug.method.prompts import prompt_ids
from pplug.offline.standin_training import train_tokenizer

TEXTS = ["generate a headline for the following article", "one two three four"] * 5


def greedy(llm, tokenizer, text: str, n: int) -> list[int]:
    """The LLM's own greedy answer from ids, written out: its truth, whatever `generate` is told."""
    before, ids = prompt_ids(tokenizer, text, bool(llm.config.is_encoder_decoder))
    ids, answer = before + ids, []
    for _ in range(n):
        if llm.config.is_encoder_decoder:
            start = [llm.config.decoder_start_token_id, *answer]
            logits = llm(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([start])).logits
        else:
            logits = llm(input_ids=torch.tensor([ids + answer])).logits
        best = int(logits[0, -1].argmax())
        if best == tokenizer.eos_token_id:
            break
        answer.append(best)
    return answer


HUB = {  # what files on the hub say, and what it would do to "greedy"
    "repetition_penalty": 5.0,
    "no_repeat_ngram_size": 1,
    "suppress_tokens": [*range(20, 300)],
    "min_new_tokens": 9,
    "do_sample": True,
    "temperature": 9.0,
    "max_length": 6,
    "num_beams": 3,
    "forced_eos_token_id": 1,
}


@pytest.mark.fault(24)
@pytest.mark.parametrize("kind", ["t5", "qwen"])
@pytest.mark.parametrize("field", HUB)
def test_no_personalisation_is_the_llms_own_greedy_decoding(kind, field, tmp_path):
    folder = tiny.save_llm(kind, tmp_path)
    settings = json.loads((folder / "generation_config.json").read_text())
    settings |= {field: HUB[field]} | ({"do_sample": True} if field == "temperature" else {})
    (folder / "generation_config.json").write_text(json.dumps(settings))
    llm, tokenizer = load_llm(str(folder))
    plain, text = PersonalizedLM(llm, tokenizer), "one two three"
    before, ids = prompt_ids(tokenizer, text, plain.is_encoder_decoder)
    one = tiny.example(tokenizer, text, "", 0)
    one = type(one)(ids, [], one.history, one.query, text, before)
    expected = tokenizer.decode(greedy(llm, tokenizer, text, 7), skip_special_tokens=True).strip()
    assert plain.generate_batch(collate(plain, [one], for_generation=True), max_new_tokens=7) == [expected]


def test_options_given_are_kept_and_the_llms_own_settings_come_back(tmp_path):
    from pplug.method.decoding import decoding

    llm, tokenizer = load_llm(str(tiny.save_llm("qwen", tmp_path)))
    llm.generation_config.repetition_penalty = 1.3
    llm.generation_config.eos_token_id = [5, 7]
    own = llm.generation_config
    made = decoding(llm, tokenizer, num_beams=4, repetition_penalty=1.1, max_new_tokens=3)
    assert (made.num_beams, made.repetition_penalty, made.max_new_tokens, made.do_sample) == (4, 1.1, 3, False)
    assert made.eos_token_id == [1, 5, 7], "every token that its files end a text with, and the tokenizer's"
    plain = PersonalizedLM(llm, tokenizer)
    batch = collate(plain, [tiny.example(tokenizer, "one", "", 0, 0, False)], for_generation=True)
    seen = []

    class Streamer:
        def put(self, ids):
            seen.append(ids)

        def end(self):
            seen.append("end")

    plain.generate_batch(batch, max_new_tokens=2, streamer=Streamer())
    assert seen[-1] == "end" and llm.generation_config is own and own.repetition_penalty == 1.3


def test_a_loaded_llm_is_taken_as_it_is_and_shared():
    tokenizer = train_tokenizer(TEXTS, 400)
    llm = families.make_family("llama", tokenizer).requires_grad_(True).train()
    assert load_llm(llm, tokenizer) == (llm, tokenizer)
    assert not llm.training and not any(weights.requires_grad for weights in llm.parameters())
    with pytest.raises(InputError, match="expected one as tokenizer="):
        load_llm(llm)
    with pytest.raises(InputError, match="for an LLM given by its name"):
        load_llm(llm, tokenizer, dtype=torch.float16)


def test_device_and_dtype_are_what_is_asked_for(tmp_path):
    llm, _ = load_llm(str(tiny.save_llm("llama", tmp_path)), device="cpu", dtype=torch.bfloat16)
    assert llm.dtype == torch.bfloat16 and llm.device.type == "cpu"


@pytest.mark.parametrize(
    ("family", "stored", "has", "kept"),
    [
        ("llama", torch.bfloat16, True, True),
        ("qwen2", torch.bfloat16, True, True),
        ("llama", torch.bfloat16, False, False),
        ("llama", torch.float32, True, False),
        ("llama", torch.float16, True, False),
        ("t5", torch.bfloat16, True, False),  # `generate` calls its encoder by itself
        ("phi", torch.bfloat16, True, False),  # has torch's own layer norm
    ],
)
def test_on_a_processor_weights_stored_in_bfloat16_stay_so_where_it_has_that(
    family, stored, has, kept, tmp_path, monkeypatch
):
    tokenizer = train_tokenizer(TEXTS, 400)
    tokenizer.save_pretrained(tmp_path), families.make_family(family, tokenizer).to(stored).save_pretrained(tmp_path)
    monkeypatch.setattr("pplug.method.llm_loading.has_bfloat16", lambda device: has)
    llm, _ = load_llm(str(tmp_path), device="cpu")
    assert llm.dtype == (torch.bfloat16 if kept else torch.float32)


def test_the_stand_in_stays_in_single_precision(monkeypatch):
    monkeypatch.setattr("pplug.method.llm_loading.has_bfloat16", lambda device: True)
    assert load_llm("standin", device="cpu")[0].dtype == torch.float32


@pytest.mark.parametrize("kind", ["llama", "qwen"])
def test_kept_in_bfloat16_it_trains_and_writes_as_single_precision_does_under_autocast(kind, tmp_path, monkeypatch):
    folder = str(tiny.store_as(tiny.save_llm(kind, tmp_path), torch.bfloat16))
    monkeypatch.setattr("pplug.method.llm_loading.has_bfloat16", lambda device: True)
    found = []
    for dtype in (None, torch.float32):
        torch.manual_seed(0)
        model = build(*load_llm(folder, device="cpu", dtype=dtype), tiny.MadeUpEncoder(), soft_tokens=2)
        with torch.autocast("cpu", torch.bfloat16):
            loss, gradients = tiny.loss_and_gradients(model.train(), collate(model, tiny.examples(model, 5)))
            model.eval()
            ids = collate(model, tiny.examples(model, 5), for_generation=True)
            found.append((loss, gradients, model.generate_batch(ids, max_new_tokens=5, min_new_tokens=5)))
    (loss, gradients, texts), (expected, wanted, known) = found
    assert loss == pytest.approx(expected, rel=1e-4) and texts == known
    assert min(tiny.cosines(gradients, wanted)) > 0.9999


@pytest.mark.skipif(not has_bfloat16("cpu"), reason="needs a processor with bfloat16")
@pytest.mark.parametrize("kind", ["llama", "qwen"])
def test_kept_in_bfloat16_its_losses_and_gradients_are_those_of_single_precision(kind, tmp_path):
    folder = str(tiny.store_as(tiny.save_llm(kind, tmp_path), torch.bfloat16))
    found = []
    for dtype in (None, torch.float32):
        torch.manual_seed(0)
        model = build(*load_llm(folder, device="cpu", dtype=dtype), tiny.MadeUpEncoder(), soft_tokens=2)
        found.append(tiny.loss_and_gradients(model.train(), collate(model, tiny.examples(model, 5))))
        assert model.llm.dtype == (dtype or torch.bfloat16)
    (loss, gradients), (expected, wanted) = found
    assert loss == pytest.approx(expected, rel=0.02) and min(tiny.cosines(gradients, wanted)) > 0.99


def test_a_tokenizer_given_beside_a_name_is_used(tmp_path):
    folder = str(tiny.save_llm("llama", tmp_path))
    tokenizer = train_tokenizer(TEXTS, 400)
    assert load_llm(folder, tokenizer)[1] is tokenizer
