"""A user's own parameters: installed they change nothing, trained they are the only thing that changes, and they go."""

from dataclasses import replace

import families
import pytest
import tiny
import torch

from pplug.base.errors import InputError
from pplug.config import get_profile
from pplug.data.loading import load
from pplug.method.batches import collate
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import build
from pplug.offline.simulate import simulate
from pplug.rivals import costs, per_user
from pplug.rivals.per_user import METHODS, fit_user, installed, own_examples, prepare_own, swap_in, train_user
from pplug.study import rows

QUIET = [method for method in METHODS if method != "soft prompt"]  # at first they add nothing


@pytest.fixture
def tuned(llm):
    torch.manual_seed(0)
    return build(*llm, tiny.MadeUpEncoder(), user=False).eval()


def answer(model) -> torch.Tensor:
    with torch.no_grad():
        return model(**collate(model, tiny.examples(model, 3)))["logits"]


@pytest.mark.parametrize("method", METHODS)
def test_the_llm_is_as_before_when_they_are_gone(tuned, method):
    before, logits = tiny.weight_hash(tuned.llm), answer(tuned)
    with installed(tuned, method) as parameters:
        train_user(tuned, parameters, tiny.examples(tuned, 4), 0.1, seed=0)
    assert tiny.weight_hash(tuned.llm) == before and torch.equal(answer(tuned), logits)
    assert not any(p.requires_grad for p in tuned.llm.parameters())


@pytest.mark.parametrize("method", QUIET)
def test_new_ones_change_nothing(tuned, method):
    logits = answer(tuned)
    with installed(tuned, method):
        assert torch.allclose(answer(tuned), logits, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_training_changes_them_alone_and_the_answers(tuned, method):
    with installed(tuned, method) as parameters:
        logits = answer(tuned)
        held = {id(p) for p in parameters.values()}
        others = {name: p.clone() for name, p in tuned.llm.named_parameters() if id(p) not in held}
        train_user(tuned, parameters, tiny.examples(tuned, 4), 0.1, seed=0)
        assert not torch.allclose(answer(tuned), logits, atol=1e-3)
        now = dict(tuned.llm.named_parameters())
        assert others and all(torch.equal(now[name], p) for name, p in others.items())


@pytest.mark.parametrize("method", METHODS)
def test_in_an_llm_in_bfloat16_they_are_trained_in_single_precision(method, tmp_path):
    llm = load_llm(str(tiny.save_llm("qwen", tmp_path)), device="cpu", dtype=torch.bfloat16)
    model = build(*llm, tiny.MadeUpEncoder(), user=False).eval()
    before, logits = tiny.weight_hash(model.llm), answer(model)
    with installed(model, method) as parameters:
        assert {p.dtype for p in parameters.values()} == {torch.float32}
        train_user(model, parameters, tiny.examples(model, 4), 0.1, seed=0)
        assert not torch.allclose(answer(model)[:, -logits.shape[1] :], logits, atol=1e-3)
    assert tiny.weight_hash(model.llm) == before and torch.equal(answer(model), logits)


def test_users_do_not_depend_on_who_came_before_and_are_trained_once(tuned, tmp_path, monkeypatch):
    theirs = {name: tiny.examples(tuned, 6)[start : start + 3] for name, start in (("a", 0), ("b", 3))}
    with installed(tuned, "LoRA") as parameters:
        fresh = {name: p.detach().clone() for name, p in parameters.items()}

        seconds = {}

        def fitted(user: str, folder: str) -> list[torch.Tensor]:
            file = tmp_path / folder / f"{user}.safetensors"
            seconds[file] = fit_user(tuned, parameters, fresh, theirs[user], 0.05, file, seed=0)
            return [p.detach().clone() for p in parameters.values()]

        first = {user: fitted(user, "one") for user in ("a", "b")}
        second = {user: fitted(user, "two") for user in ("b", "a")}
        for user in theirs:
            assert all(torch.equal(x, y) for x, y in zip(first[user], second[user], strict=True))
        assert not all(torch.equal(x, y) for x, y in zip(first["a"], first["b"], strict=True))
        monkeypatch.setattr("pplug.rivals.per_user.train_user", lambda *_: pytest.fail("trained again"))
        took = dict(seconds)
        assert all(torch.equal(x, y) for x, y in zip(first["a"], fitted("a", "one"), strict=True))
        assert seconds == took and all(took.values())  # the cost of a user stays what it was, also in a later run


def test_a_user_without_texts_keeps_the_new_ones(tuned):
    with installed(tuned, "LoRA") as parameters:
        before = {name: p.detach().clone() for name, p in parameters.items()}
        train_user(tuned, parameters, [], 0.1, seed=0)
        assert all(torch.equal(before[name], p) for name, p in parameters.items())
        with pytest.raises(KeyError):
            swap_in(parameters, {})


@pytest.mark.parametrize("task", ["LaMP-4", "LaMP-7"])
def test_they_are_trained_on_the_users_own_earlier_texts(tmp_path, task, tuned):
    data = load(simulate(tmp_path, task, 4, seed=1), task)
    example = data.splits["test"].to_list()[1]
    pairs = own_examples(data, example)
    if task == "LaMP-4":
        assert [answer for _, answer in pairs] == [data.items[row]["title"] for row in example["profile"]]
    else:
        own = [row for row in data.splits["train"] if row["user_id"] == example["user_id"]]
        assert [answer for _, answer in pairs] == [row["output"] for row in own] and pairs
    assert example["input"] not in {text for text, _ in pairs}
    ready = prepare_own(tuned, pairs)
    assert all(e.target_ids and not len(e.history) for e in ready)


def test_an_unknown_method_is_named(tuned):
    with pytest.raises(ValueError, match=r"unknown method 'lora'.*LoRA, IA3"), installed(tuned, "lora"):
        pass


# Whatever LLM they are put into


def bert2bert(folder):
    """Two small BERTs as one LLM, the kind of the stand-in on MiniLM."""
    from transformers import BertConfig, BertLMHeadModel, BertModel, BertTokenizer, EncoderDecoderModel

    from pplug.base.progress import no_old_advice

    no_old_advice()
    torch.manual_seed(0)
    _, tokenizer = families._bge(["generate a headline for the following article one two three"] * 5)
    assert isinstance(tokenizer, BertTokenizer)
    small = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    decoder = BertConfig(**small, is_decoder=True, add_cross_attention=True)
    llm = EncoderDecoderModel(encoder=BertModel(BertConfig(**small)), decoder=BertLMHeadModel(decoder))
    for settings in (llm.config, llm.generation_config):
        settings.decoder_start_token_id = tokenizer.cls_token_id
        settings.eos_token_id = tokenizer.sep_token_id
        settings.pad_token_id = tokenizer.pad_token_id
    llm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=["flan-t5", "llama", "qwen", "BERT2BERT"])
def any_llm(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    texts = ["generate a headline for the following article one two three"] * 5
    if request.param == "BERT2BERT":
        return load_llm(bert2bert(folder))
    return load_llm(families.save_family(request.param, folder, texts))


@pytest.mark.fault(6)
@pytest.mark.parametrize("method", METHODS)
def test_every_llm_the_readme_names_takes_every_method(any_llm, method):
    model = build(*any_llm, tiny.MadeUpEncoder(), user=False).eval()
    logits = answer(model)
    with installed(model, method) as parameters:
        assert parameters, "a method without parameters trains nothing"
        train_user(model, parameters, tiny.examples(model, 4), 0.1, seed=0)
        changed = answer(model)[:, -logits.shape[1] :]  # a soft prompt in a decoder-only LLM is longer
        assert not torch.allclose(changed, logits, atol=1e-4)
    assert torch.equal(answer(model), logits)


@pytest.mark.fault(6)
def test_an_llm_without_known_layers_says_why_the_row_is_left_out(tuned, monkeypatch):
    tuned.llm.config.model_type, known = "unheard-of", tuned.llm.config.model_type
    monkeypatch.setattr(per_user, "FEED_FORWARD", ())
    try:
        why = {method: per_user.left_out(tuned.llm, method) for method in METHODS}
        with pytest.raises(InputError, match="LoRA: peft does not know"), installed(tuned, "LoRA"):
            pass
    finally:
        tuned.llm.config.model_type = known
    assert all("unheard-of" in why[method] for method in ("LoRA", "IA3", "bottleneck adapter"))
    assert why["soft prompt"] == ""


# Rows of a comparison, with two LLMs of one long name


@pytest.fixture
def two_settings(tmp_path, monkeypatch):
    """The same users with two LLMs whose names and folders begin alike, and other weights."""
    encoder = families.save_family("bge", tmp_path / "bge", ["one two three"] * 9)
    folders = [tiny.save_llm("t5", tmp_path / name / "flan-t5-long-name", seed) for seed, name in enumerate("ab")]
    monkeypatch.setattr(rows, "ADAPTED_USERS", 2)
    monkeypatch.setattr(costs, "TIMED_USERS", 1)
    monkeypatch.setattr(per_user, "EPOCHS", 1)
    monkeypatch.setattr(per_user, "METHODS", {"LoRA": 1e-2})
    small = replace(get_profile("smoke"), n_users=4, n_test=2, steps=1, batch_size=2, encoder=encoder)
    return [rows.Setting("LaMP-7", replace(small, llm=str(folder)), 0) for folder in folders]


@pytest.mark.fault(3)
def test_another_llm_of_the_same_name_another_seed_or_length_has_parameters_of_its_own(two_settings, monkeypatch):
    first, second = two_settings
    monkeypatch.setattr(rows.Setting, "answers", lambda s, model, prepared: [""] * len(prepared), raising=False)
    for name in ("latency", "seconds_of_one"):  # neither answers nor time are looked at
        monkeypatch.setattr(costs, name, lambda *_, **__: 1.0, raising=False)
    trained, train_one = [], per_user.train_user
    monkeypatch.setattr(per_user, "train_user", lambda *given: trained.append(1) or train_one(*given))
    changes = ({"learning_rate": 3e-3}, {"batch_size": 4})
    others = [second, *(rows.Setting("LaMP-7", replace(first.profile, **changed), 0) for changed in changes)]
    for setting in (first, *others):
        del trained[:]
        list(rows.adapters(setting))
        assert len(trained) == 2, "both users' are trained anew"
    del trained[:]
    list(rows.adapters(first))
    assert not trained, "the same again is loaded"


@pytest.mark.fault(2)
def test_adapters_are_timed_against_the_llm_without_them(two_settings, monkeypatch):
    """Both stand on one LLM: while it is timed as it is, nothing may be installed in it."""
    setting, seen, predict = two_settings[0], [], costs.predict

    def watched(model, *arguments, **options):
        has_lora = any("lora" in name for name, _ in model.llm.named_parameters())
        seen.append((model.plug is None, has_lora))
        return predict(model, *arguments, **options)

    setting.options["max_new_tokens"] = 2
    batch = collate(setting.plain, setting.prepared)
    with torch.no_grad():
        before = setting.plain.eval()(**batch)["logits"]
    monkeypatch.setattr(costs, "predict", watched)
    list(rows.adapters(setting))
    assert {is_plain for is_plain, _ in seen} == {True, False}
    assert all(has_lora is not is_plain for is_plain, has_lora in seen)
    with torch.no_grad():
        assert torch.equal(setting.plain(**batch)["logits"], before)
    assert setting.plain.llm is setting.fit(user=False).llm
