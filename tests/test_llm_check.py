"""Which LLMs can carry a soft prompt: tried on small models of many families when they are loaded."""

from dataclasses import replace

import families
import pytest
import tiny
import torch

from pplug.base.errors import InputError
from pplug.method.batches import collate
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM, build
from pplug.offline.standin_training import train_tokenizer

TEXTS = ["generate a headline for the following article", "one two three four"] * 5
REFUSED = {"pegasus", "marian", "gemma3n", "bert"}
FIT = sorted(families.FAMILIES.keys() - REFUSED)


def loaded(family, **changes):
    """An LLM of a family, saved by nobody: made, and passed through."""
    tokenizer = train_tokenizer(TEXTS, 400)
    return load_llm(families.make_family(family, tokenizer, **changes), tokenizer)


def in_parts(tokenizer, model):
    """Prepared examples of unlike length, one with an item as text in front of its soft prompt."""
    made = [
        tiny.example(tokenizer, text, "three four", n, n, model.is_encoder_decoder)
        for n, text in enumerate(["one two three four headline article", "two", "the following article"])
    ]
    made[1] = replace(made[1], before_ids=tokenizer("one three", add_special_tokens=False)["input_ids"])
    return made


@pytest.mark.fault(23)
@pytest.mark.parametrize("family", FIT)
def test_a_batch_equals_its_parts_also_with_an_item_in_front(family):
    tokenizer = train_tokenizer(TEXTS, 400)
    llm = families.make_family(family, tokenizer)
    torch.manual_seed(0)
    model = build(llm, tokenizer, tiny.MadeUpEncoder(), soft_tokens=2)
    made = in_parts(tokenizer, model)
    counts = [float((collate(model, [one])["labels"] != -100).sum()) for one in made]
    with torch.no_grad():
        parts = [float(model(**collate(model, [one]))["loss"]) for one in made]
        mean = sum(n * loss for n, loss in zip(counts, parts, strict=True)) / sum(counts)
        assert float(model(**collate(model, made))["loss"]) == pytest.approx(mean, rel=1e-4)
    options = {"max_new_tokens": 4, "min_new_tokens": 4}
    alone = [model.generate_batch(collate(model, [one], for_generation=True), **options)[0] for one in made]
    assert model.generate_batch(collate(model, made, for_generation=True), **options) == alone


@pytest.mark.parametrize("family", FIT)
def test_a_family_that_can_carry_a_soft_prompt_is_taken(family):
    llm, _ = loaded(family)
    assert not llm.training and not any(weights.requires_grad for weights in llm.parameters())


@pytest.mark.fault(23)
@pytest.mark.parametrize("family", sorted(REFUSED))
def test_a_family_that_cannot_is_refused_in_one_sentence_that_names_it(family, tmp_path):
    tokenizer = train_tokenizer(TEXTS, 400)
    folder = tmp_path / family
    families.make_family(family, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match=rf"{family}.*cannot carry a soft prompt: .*") as refused:
        load_llm(str(folder))
    assert "\n" not in str(refused.value)


@pytest.mark.fault(23)
@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_an_llm_without_an_end_token_is_refused(kind, tmp_path):
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    folder = tiny.save_llm(kind, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    llm = (AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM).from_pretrained(folder)
    llm.config.eos_token_id = llm.generation_config.eos_token_id = None
    llm.save_pretrained(folder)
    with pytest.raises(InputError, match="no end token"):
        load_llm(str(folder))


@pytest.mark.fault(23)
def test_a_pad_token_outside_the_table_is_not_used():
    tokenizer = train_tokenizer(TEXTS, 400)
    llm = families.make_family("llama", tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<a new one>"})
    assert tokenizer.pad_token_id >= llm.get_input_embeddings().weight.shape[0]
    model = PersonalizedLM(*load_llm(llm, tokenizer))
    made = [tiny.example(tokenizer, text, "three", 0, 0, False) for text in ("one", "one two three")]
    assert len(model.generate_batch(collate(model, made, for_generation=True), max_new_tokens=2)) == 2


def test_a_tokenizer_of_another_llm_is_refused():
    tokenizer = train_tokenizer(TEXTS, 400)
    llm = families.make_family("llama", tokenizer, vocab_size=40)
    with pytest.raises(InputError, match="embedding table only 40 rows"):
        load_llm(llm, tokenizer)


def test_an_llm_with_damaged_weights_is_refused():
    tokenizer = train_tokenizer(TEXTS, 400)
    llm = families.make_family("llama", tokenizer)
    llm.model.layers[0].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(InputError, match="finite numbers"):
        load_llm(llm, tokenizer)


def test_an_llm_that_takes_no_embeddings_is_refused_by_what_it_says():
    tokenizer = train_tokenizer(TEXTS, 400)
    llm = families.make_family("llama", tokenizer)
    takes = llm.forward

    def forward(*args, inputs_embeds=None, **options):
        if inputs_embeds is not None:
            raise NotImplementedError("ids only")
        return takes(*args, **options)

    llm.forward = forward
    with pytest.raises(InputError, match=r"'LlamaForCausalLM'.*NotImplementedError: ids only"):
        load_llm(llm, tokenizer)


def test_an_llm_is_checked_once_and_the_check_draws_no_random_number(monkeypatch):
    from pplug.method import llm_loading as module

    calls = []
    check = module.check_llm
    monkeypatch.setattr(module, "check_llm", lambda *given: calls.append(1) or check(*given))
    tokenizer = train_tokenizer(TEXTS, 400)
    llm = families.make_family("llama", tokenizer)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert load_llm(llm, tokenizer) == load_llm(llm, tokenizer) == (llm, tokenizer) and calls == [1]
    assert torch.rand(1) == expected


def test_the_check_is_a_handful_of_tokens():
    tokenizer, read = train_tokenizer(TEXTS, 400), []
    llm = families.make_family("llama", tokenizer)
    llm.get_input_embeddings().register_forward_hook(lambda module, given, out: read.append(given[0].numel()))
    load_llm(llm, tokenizer)
    assert len(read) < 30 and sum(read) < 600
