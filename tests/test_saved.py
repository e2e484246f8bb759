"""saved.py: a plug is one file, of one plug, in front of the LLM and encoder it was trained with."""

import contextlib
import shutil
from dataclasses import replace

import pytest
import tiny
import torch

from pplug.base.errors import DataError, InputError
from pplug.method.batches import collate
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM, build
from pplug.study import experiment

NAMES_LOAD_ENCODER = [f"pplug.method.{name}.load_encoder" for name in ("saved", "model", "encoders")]


@pytest.fixture(autouse=True)
def known_encoders(monkeypatch):
    """Encoders by any name, which need no files; `other` has other weights."""

    def load(name, **_):
        weights = torch.nn.Linear(2, 2) if name == "other" else None
        return tiny.MadeUpEncoder(name, fingerprint=name, module=weights)

    for place in NAMES_LOAD_ENCODER:
        monkeypatch.setattr(place, load, raising=False)


@pytest.fixture(params=["t5", "qwen"])
def llm_folder(request, tmp_path):
    return tiny.save_llm(request.param, tmp_path / "llm", chat=request.param == "qwen")


@pytest.fixture
def model(llm_folder):
    torch.manual_seed(0)
    facts = {"llm": str(llm_folder), "encoder": "made-up", "task": "LaMP-4", "data_hash": "0" * 64}
    return build(*load_llm(str(llm_folder)), tiny.MadeUpEncoder(), None, facts, top_k=4)


def test_what_is_saved_and_loaded_again_gives_the_same_logits(model, tmp_path):
    assert model.save_pretrained(tmp_path / "plug") == tmp_path / "plug"
    assert [path.name for path in (tmp_path / "plug").iterdir()] == ["plug.safetensors"]
    loaded = PersonalizedLM.from_pretrained(tmp_path / "plug")
    batch = collate(model, tiny.examples(model))
    assert torch.equal(model(**batch)["logits"], loaded(**batch)["logits"])
    assert loaded.plug.config == model.plug.config and not loaded.training
    assert model.facts.items() <= loaded.facts.items()
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "plug.safetensors").read_bytes() == (
        tmp_path / "plug" / "plug.safetensors"
    ).read_bytes()


def test_a_folder_without_a_plug_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no saved plug here: expected plug\.safetensors"):
        PersonalizedLM.from_pretrained(tmp_path)


def changed(model):
    """Another plug, whose config and weights both differ from the first one's, but not in shape."""
    other = build(model.llm, model.tokenizer, model.encoder, None, model.facts, top_k=2)
    with torch.no_grad():
        for weight in other.plug.parameters():
            weight.add_(1)
    return other


@pytest.mark.fault(10)
@pytest.mark.parametrize("call", ["os.replace", "os.fsync"])
def test_saving_that_is_interrupted_anywhere_leaves_the_old_plug_or_the_new_one(model, tmp_path, monkeypatch, call):
    import os

    other = changed(model)
    known = {m.plug.config.top_k: tiny.weight_hash(m.plug) for m in (model, other)}
    real, outcomes = getattr(os, call.removeprefix("os.")), []
    for stop in range(6):
        shutil.rmtree(tmp_path / "plug", ignore_errors=True)
        model.save_pretrained(tmp_path / "plug")
        calls = []

        def interrupted(*given, calls=calls, stop=stop):
            calls.append(given)
            if len(calls) == stop + 1:
                raise KeyboardInterrupt
            return real(*given)

        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(call, interrupted)
            other.save_pretrained(tmp_path / "plug")
        loaded = PersonalizedLM.from_pretrained(tmp_path / "plug")
        assert tiny.weight_hash(loaded.plug) == known[loaded.plug.config.top_k], "a mix of two plugs"
        outcomes.append(loaded.plug.config.top_k)
    assert outcomes[0] == 4 and outcomes[-1] == 2, "interrupted at first, not at last"


def test_a_plug_of_two_files_is_refused_with_the_way_out(model, tmp_path):
    from safetensors.torch import save_file

    (tmp_path / "plug").mkdir()
    save_file(model.state_dict(), tmp_path / "plug" / "plug.safetensors")
    (tmp_path / "plug" / "plug.json").write_text("{}")
    with pytest.raises(DataError, match=r"expected a plug in one file.*two files.*train it anew"):
        PersonalizedLM.from_pretrained(tmp_path / "plug")
    (tmp_path / "plug" / "plug.json").unlink()
    with pytest.raises(DataError, match="expected a plug's config in the file's metadata"):
        PersonalizedLM.from_pretrained(tmp_path / "plug")


@pytest.mark.fault(22)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_never_written(model, tmp_path, value):
    model.save_pretrained(tmp_path / "plug")
    before = {path.name: path.read_bytes() for path in (tmp_path / "plug").iterdir()}
    with torch.no_grad():
        model.plug.projector.out.bias[3] = value
    with pytest.raises(InputError, match=r"not saved: projector.out.bias holds numbers that are not finite"):
        model.save_pretrained(tmp_path / "plug")
    assert {path.name: path.read_bytes() for path in (tmp_path / "plug").iterdir()} == before


@pytest.mark.fault(11)
def test_an_llm_with_other_weights_is_refused_by_name_with_the_way_out(model, llm_folder, tmp_path):
    model.save_pretrained(tmp_path / "plug")
    kind = model.llm.config.model_type.removesuffix("2")
    tiny.save_llm(kind, llm_folder, seed=1, chat=kind == "qwen")
    with pytest.raises(DataError) as caught:
        PersonalizedLM.from_pretrained(tmp_path / "plug")
    assert str(llm_folder)[:20] in str(caught.value)
    assert "differs from it in weights" in str(caught.value) and "`llm=`" in str(caught.value)


@pytest.mark.fault(11)
def test_an_encoder_with_other_weights_is_refused(model, tmp_path, monkeypatch):
    model.save_pretrained(tmp_path / "plug")
    for place in NAMES_LOAD_ENCODER:
        monkeypatch.setattr(
            place, lambda name, **_: tiny.MadeUpEncoder(name, module=torch.nn.Linear(1, 1)), raising=False
        )
    with pytest.raises(
        DataError, match=r"trained with the encoder 'made-up', but 'made-up' differs.*weights: .*`encoder=`"
    ):
        PersonalizedLM.from_pretrained(tmp_path / "plug")


@pytest.mark.fault(11)
@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("file", "old", "new", "part"),
    [
        ("config.json", '"vocab_size"', '"initializer_range": 0.5, "vocab_size"', "config"),
        ("tokenizer.json", '"!": 2,', '"!": 4,', "tokenizer"),
        ("tokenizer_config.json", '"eos_token": "</s>"', '"eos_token": "<pad>"', "tokenizer"),
        ("chat_template.jinja", "<answer>", "<reply>", "tokenizer"),
    ],
)
def test_an_llm_whose_files_were_edited_is_refused(model, llm_folder, tmp_path, file, old, new, part):
    if not (llm_folder / file).exists():
        pytest.skip("this LLM has no chat template")
    model.save_pretrained(tmp_path / "plug")
    text = (llm_folder / file).read_text()
    assert old in text
    if file == "tokenizer.json":  # two of the vocabulary change places
        text = text.replace('"#": 4,', '"#": 2,')
    (llm_folder / file).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=f"differs from it in {part}: give the one"):
        PersonalizedLM.from_pretrained(tmp_path / "plug")


def test_the_llm_and_the_encoder_may_be_given_by_another_name_or_as_they_are(model, llm_folder, tmp_path):
    model.save_pretrained(tmp_path / "plug")
    moved = shutil.move(llm_folder, tmp_path / "moved")
    with pytest.raises(DataError, match="cannot be loaded"):
        PersonalizedLM.from_pretrained(tmp_path / "plug")
    by_name = PersonalizedLM.from_pretrained(tmp_path / "plug", llm=moved)
    assert tiny.weight_hash(by_name.plug) == tiny.weight_hash(model.plug)
    shared = {"llm": model.llm, "tokenizer": model.tokenizer, "encoder": model.encoder}
    one, two = (PersonalizedLM.from_pretrained(tmp_path / "plug", **shared) for _ in range(2))
    assert one.llm is two.llm is model.llm and one.encoder is two.encoder and one.plug is not two.plug
    with pytest.raises(DataError, match="comes without its tokenizer"):
        PersonalizedLM.from_pretrained(tmp_path / "plug", llm=model.llm)
    with pytest.raises(DataError, match="trained with the encoder 'made-up', but 'other' differs"):
        PersonalizedLM.from_pretrained(tmp_path / "plug", llm=moved, encoder="other")


def test_bfloat16_is_the_same_llm_and_float16_is_compared_without_weights(model, tmp_path):
    model.save_pretrained(tmp_path / "plug")
    for precision in (torch.bfloat16, torch.float16):
        llm = load_llm(model.facts["llm"])[0].to(precision)
        loaded = PersonalizedLM.from_pretrained(tmp_path / "plug", llm=llm, tokenizer=model.tokenizer)
        assert loaded.llm.dtype == precision
        changed_tokenizer = load_llm(model.facts["llm"])[1]
        changed_tokenizer.chat_template = "another"
        with pytest.raises(DataError, match="differs from it in tokenizer"):
            PersonalizedLM.from_pretrained(tmp_path / "plug", llm=llm, tokenizer=changed_tokenizer)


def test_under_another_version_of_the_library_weights_alone_are_compared(model, tmp_path):
    model.save_pretrained(tmp_path / "plug")
    facts, weights = tiny.read_saved(tmp_path / "plug")
    facts["fingerprints"]["versions"]["transformers"] = "5.0.0"
    facts["fingerprints"]["llm"] = "0" * 32 + facts["fingerprints"]["llm"][32:]
    tiny.write_saved(tmp_path / "plug", facts, weights)
    PersonalizedLM.from_pretrained(tmp_path / "plug")
    facts["fingerprints"]["llm"] = "0" * 48
    tiny.write_saved(tmp_path / "plug", facts, weights)
    with pytest.raises(DataError, match="differs from it in weights"):
        PersonalizedLM.from_pretrained(tmp_path / "plug")


@pytest.mark.parametrize("prints", [None, 5, {}, {"llm": "x", "encoder": "x", "precision": "float32", "versions": 1}])
def test_a_plug_without_fingerprints_is_refused(model, tmp_path, prints):
    model.save_pretrained(tmp_path / "plug")
    facts, weights = tiny.read_saved(tmp_path / "plug")
    tiny.write_saved(tmp_path / "plug", facts | {"fingerprints": prints}, weights)
    with pytest.raises(DataError, match="expected fingerprints of LLM and encoder"):
        PersonalizedLM.from_pretrained(tmp_path / "plug")


@pytest.mark.fault(26)
def test_an_llm_of_the_hub_is_loaded_at_the_commit_of_the_training(model, tmp_path, monkeypatch):
    """How: the file tells the commit, and `load_llm` is asked for it, but not where another LLM is named."""
    asked = []
    for place in ("saved", "model"):
        told = f"pplug.method.{place}.load_llm"
        monkeypatch.setattr(told, lambda *given, **how: asked.append((given, how)) or parts, raising=False)
    parts = (model.llm, model.tokenizer)
    model.llm.config._commit_hash = "c" * 40
    model.facts["llm"] = "owner/llm"
    model.save_pretrained(tmp_path / "plug")
    del model.llm.config._commit_hash
    PersonalizedLM.from_pretrained(tmp_path / "plug")
    assert asked == [(("owner/llm", None), {"revision": "c" * 40})]
    asked.clear()
    PersonalizedLM.from_pretrained(tmp_path / "plug", llm="other/llm", device="cpu", dtype=torch.bfloat16)
    assert asked == [(("other/llm", None), {"device": "cpu", "dtype": torch.bfloat16})]


def test_an_llm_without_a_name_is_called_by_its_kind(model, tmp_path):
    del model.facts["llm"]
    model.llm.config._name_or_path = model.llm.name_or_path = ""
    model.save_pretrained(tmp_path / "plug")
    assert tiny.read_saved(tmp_path / "plug")[0]["llm"] == type(model.llm).__name__
    loaded = PersonalizedLM.from_pretrained(tmp_path / "plug", llm=model.llm, tokenizer=model.tokenizer)
    assert tiny.weight_hash(loaded.plug) == tiny.weight_hash(model.plug)


def test_a_config_that_the_weights_do_not_fit_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path / "plug")
    facts, weights = tiny.read_saved(tmp_path / "plug")
    facts["plug"] |= {"soft_tokens": 2}
    tiny.write_saved(tmp_path / "plug", facts, weights)
    with pytest.raises(DataError, match=r"plug.safetensors: no_history: expected float32 \[2, 16\], found"):
        PersonalizedLM.from_pretrained(tmp_path / "plug")


@pytest.mark.fault(26)
def test_a_trained_plug_is_not_taken_for_one_of_an_llm_that_was_edited(tmp_path, monkeypatch, tiny_profile):
    folder = tiny.save_llm("qwen", tmp_path / "llm", chat=True)
    profile = replace(tiny_profile, n_users=2, n_test=2, llm=str(folder))
    real, trained = experiment.train, []
    monkeypatch.setattr(experiment, "train", lambda *given, **how: trained.append(1) or real(*given, **how))

    def fit() -> int:
        """How often training ran when a plug was asked for, in a new process."""
        experiment._loaded_llm.cache_clear()
        trained.clear()
        experiment.fit("LaMP-3", profile)
        return len(trained)

    assert (fit(), fit()) == (1, 0)
    told = {}
    edits = {
        "config.json": ('"vocab_size"', '"initializer_range": 0.5, "vocab_size"'),
        "tokenizer.json": ('"!": 2,', '"!": 4,'),
    }
    edits["chat_template.jinja"] = ("<answer>", "<reply>")
    for name, (old, new) in edits.items():
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace('"#": 4,', '"#": 2,').replace(old, new))
        told[name] = fit()
    experiment._loaded_llm.cache_clear()
    assert told == dict.fromkeys(edits, 1)


def test_in_half_precision_a_plug_takes_half_the_space(model, tmp_path):
    whole, half = (model.save_pretrained(tmp_path / str(h), half=h) / "plug.safetensors" for h in (False, True))
    assert half.stat().st_size < whole.stat().st_size
    loaded = PersonalizedLM.from_pretrained(tmp_path / "True")
    for name, value in model.plug.state_dict().items():
        found = loaded.plug.state_dict()[name]
        assert found.dtype == value.dtype and torch.equal(found, value.half().float()), name
