"""The frozen LLM with the plug in front, for encoder-decoder and decoder-only LLMs."""

from dataclasses import replace

import pytest
import tiny
import torch

from pplug.method.batches import collate
from pplug.method.joining import pad
from pplug.method.llm_loading import embedding_norm, load_llm
from pplug.method.personalized import PersonalizedLM, build

KINDS = ("t5", "llama", "qwen")
SMALL = {"layers": 2, "attention_heads": 2, "ffn_dim": 32}  # of BART's encoder and decoder
TEXTS = ["one two three", "four", "generate a headline for the following article"]


@pytest.fixture(scope="module", params=KINDS)
def llm_folder(request, tmp_path_factory):
    return tiny.save_llm(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def model(llm_folder):
    llm, tokenizer = load_llm(str(llm_folder))
    torch.manual_seed(0)
    return build(llm, tokenizer, tiny.MadeUpEncoder()).eval()


def examples(model, lengths=(3, 0, 5)):
    pairs = zip(TEXTS, lengths, strict=True)
    return [
        tiny.example(model.tokenizer, t, "three four", n, i, model.is_encoder_decoder) for i, (t, n) in enumerate(pairs)
    ]


def plain(model) -> PersonalizedLM:
    return PersonalizedLM(model.llm, model.tokenizer)


def test_every_parameter_of_the_llm_is_frozen(model):
    assert not any(p.requires_grad for p in model.llm.parameters())
    assert all(p.requires_grad for p in model.plug.parameters())
    assert not model.train().llm.training and model.plug.training


def test_without_soft_prompt_the_wrapped_llm_equals_the_plain_one(model):
    batch = collate(plain(model), examples(model))
    ours = plain(model).eval()(**batch)
    theirs = model.llm(**{name: batch[name] for name in ("input_ids", "attention_mask", "labels")})
    tokens = batch["attention_mask"].bool() if not model.is_encoder_decoder else ...  # behind them, padding's
    assert torch.allclose(ours["logits"][tokens], theirs.logits[tokens], atol=1e-5)
    assert torch.allclose(ours["loss"], theirs.loss, atol=1e-5)


def test_without_soft_prompt_generation_equals_the_plain_llms(model):
    batch = collate(plain(model), examples(model), for_generation=True)
    ids = model.llm.generate(**batch, max_new_tokens=6, do_sample=False, pad_token_id=0)
    own = ids if model.is_encoder_decoder else ids[:, batch["input_ids"].shape[1] :]
    theirs = [text.strip() for text in model.tokenizer.batch_decode(own, skip_special_tokens=True)]
    assert plain(model).generate_batch(batch, max_new_tokens=6) == theirs


def test_the_soft_prompt_stands_directly_in_front_of_the_input(model):
    batch = collate(model, examples(model), for_generation=True)
    joined, mask = model.join(**batch)
    soft = model.plug(batch["query"], batch["history"], batch["history_mask"])
    for row, example in enumerate(examples(model)):
        embedded = model.llm.get_input_embeddings()(torch.tensor(example.input_ids))
        assert torch.allclose(joined[row][mask[row].bool()], torch.cat([soft[row], embedded]), atol=1e-6)


def test_padding_and_batch_mates_change_nothing_for_a_user(model):
    together = collate(model, examples(model))
    loss = []
    for example in examples(model):
        loss.append(model(**collate(model, [example]))["loss"])
    weights = [float((collate(model, [e])["labels"] != -100).sum()) for e in examples(model)]
    mean = sum(w * value for w, value in zip(weights, loss, strict=True)) / sum(weights)
    assert torch.allclose(model(**together)["loss"], mean, atol=1e-5)
    alone = [
        model.generate_batch(collate(model, [e], for_generation=True), max_new_tokens=5)[0] for e in examples(model)
    ]
    assert model.generate_batch(collate(model, examples(model), for_generation=True), max_new_tokens=5) == alone


def test_the_users_history_reaches_the_output(model):
    batch = collate(model, examples(model))
    other = batch | {"history": -batch["history"]}
    ours, theirs = model(**batch)["logits"], model(**other)["logits"]
    assert not torch.allclose(ours[0], theirs[0], atol=1e-4)
    assert torch.allclose(ours[1], theirs[1], atol=1e-6)  # no history: nothing to change


def test_only_the_targets_tokens_count_in_the_loss(model):
    batch = collate(model, examples(model)[:1])
    counted = int((batch["labels"] != -100).sum())
    assert counted == len(examples(model)[0].target_ids)


def test_the_embedding_norm_is_measured_on_the_llm(model):
    table = model.llm.get_input_embeddings().weight
    assert embedding_norm(model.llm) == pytest.approx(float(table.norm(dim=-1).mean()), rel=1e-5)
    assert model.plug.config.embedding_norm == pytest.approx(embedding_norm(model.llm))


def test_a_state_dict_holds_the_plug_and_nothing_else(model):
    assert set(model.state_dict()) == set(model.plug.state_dict())
    assert plain(model).state_dict() == {}


def laid_out(model, left: bool) -> dict:
    """A batch as in training, one row with an item in front; or with the padding on the left."""
    some = examples(model)
    some[1] = replace(some[1], before_ids=[5, 6, 7])
    batch = collate(model, some)
    if left:
        rows = [example.input_ids + example.target_ids for example in some]
        batch["input_ids"], batch["attention_mask"] = pad(rows, 0, left=True)
        labels = [[-100] * len(example.input_ids) + example.target_ids for example in some]
        batch["labels"], _ = pad(labels, -100, left=True)
    return batch


@pytest.mark.parametrize("left", [False, True])
def test_without_the_logits_in_front_of_the_targets_loss_and_gradients_are_the_same(model, left):
    if left and model.is_encoder_decoder:
        pytest.skip("an encoder's padding is on the right")
    batch = laid_out(model, left)
    with tiny.logits_counted(model.llm) as counted:
        whole, wanted = tiny.loss_and_gradients(model, batch)
        model.train()
        loss, found = tiny.loss_and_gradients(model, batch)
        model.eval()
        again, same = tiny.loss_and_gradients(model, batch, only_targets=True)
        logits = model(**batch, only_targets=True)["logits"]
    assert loss == again == pytest.approx(whole, rel=1e-6)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(same[name], gradient, rtol=1e-4, atol=1e-7)
    assert torch.allclose(logits, model(**batch)["logits"][:, -logits.shape[1] :], atol=1e-5)
    if not model.is_encoder_decoder:  # the first target of any row is predicted one position before it
        first = min((row != -100).nonzero()[0] for row in batch["labels"])
        assert counted[0] > counted[1] and counted[1:] == [batch["labels"].shape[1] - first + 1] * 3


def test_where_the_first_token_behind_the_soft_prompt_is_a_target_the_loss_is_the_same(model):
    """As in a plug that stands in front of the answer: the soft prompt's last token predicts it."""
    if model.is_encoder_decoder:
        pytest.skip("its decoder reads no soft prompt")
    some = [replace(example, before_ids=example.input_ids, input_ids=[]) for example in examples(model)]
    batch = collate(model, some)
    with tiny.logits_counted(model.llm) as counted:
        whole, wanted = tiny.loss_and_gradients(model, batch)
        loss, found = tiny.loss_and_gradients(model.train(), batch)
    assert loss == pytest.approx(whole, rel=1e-6) and counted[1] == batch["labels"].shape[1] + 1 < counted[0]
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7)


def test_layers_computed_twice_give_the_same_gradients_and_keep_less(model):
    def gradients(checkpointing):
        kept, model.checkpointing = [], checkpointing
        batch = collate(model, examples(model))
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            loss = model.train()(**batch)["loss"]
        model.zero_grad()
        loss.backward()
        return [p.grad.clone() for p in model.plug.parameters() if p.grad is not None], sum(kept), float(loss.detach())

    plain_gradients, plain_kept, plain_loss = gradients(False)
    again, kept, loss = gradients(True)
    assert loss == plain_loss and kept < 0.7 * plain_kept  # logits stay, and are most of it here
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(plain_gradients, again, strict=True))
    assert not any(m.training for m in model.llm.modules() if isinstance(m, torch.nn.Dropout))


def test_a_frozen_layer_that_drops_out_by_itself_does_not_when_computed_twice(tmp_path):
    from transformers import BartConfig, BartForConditionalGeneration

    tokenizer = load_llm(tiny.save_llm("t5", tmp_path))[1]
    sizes = {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in SMALL.items()}
    ids = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    bart = BartConfig(d_model=16, dropout=0.5, activation_dropout=0.5, max_position_embeddings=64, **sizes, **ids)
    model = build(*load_llm(BartForConditionalGeneration(bart), tokenizer), tiny.MadeUpEncoder())
    batch = collate(model, examples(model))
    plain = model.train()(**batch)["loss"]
    model.checkpointing = True
    assert torch.equal(model.train()(**batch)["loss"], plain)


def test_parts_of_a_batch_add_up_to_its_loss(model):
    whole = examples(model)
    whole[1] = replace(whole[1], target_ids=whole[1].target_ids[:1])
    batch = collate(model, whole)
    count = int((batch["labels"] != -100).sum())
    parts = [model.train()(**collate(model, [one]), num_items_in_batch=count)["loss"] for one in whole]
    assert torch.allclose(sum(parts), model(**batch)["loss"], atol=1e-5)
    assert torch.equal(model(**batch, num_items_in_batch=count)["loss"], model(**batch)["loss"])


def test_an_output_layer_of_its_own_is_loaded_as_it_was_saved(tmp_path):
    from safetensors.torch import load_file, save_file

    weights = tiny.save_llm("t5", tmp_path) / "model.safetensors"
    # Copies: below safetensors 0.8, `load_file` reads from the file that is overwritten here.
    saved = {name: tensor.clone() for name, tensor in load_file(weights).items()}
    saved["lm_head.weight"] = torch.full_like(saved["shared.weight"], 0.25)  # as FLAN-T5 has one
    save_file(saved, weights, metadata={"format": "pt"})
    llm, _ = load_llm(str(tmp_path))
    assert torch.equal(llm.lm_head.weight, saved["lm_head.weight"])
    for table in (llm.shared, llm.encoder.embed_tokens, llm.decoder.embed_tokens):
        assert torch.equal(table.weight, saved["shared.weight"])
    assert not llm.config.scale_decoder_outputs, "only tied outputs are scaled"
