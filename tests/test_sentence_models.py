"""Encoders of every kind sentence-transformers has: what is encoded is what its own two calls give."""

import numpy as np
import pytest
import torch

from pplug.base.errors import InputError
from pplug.method import encoders
from pplug.method.encoders import encode, encode_texts, load_encoder, text_keys

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] query : passage the dog cat a . red house search_query search_document"
TEXTS = ["the dog", "a cat . the red house", "a", "the house the house a dog"]


@pytest.fixture(autouse=True)
def single_precision(monkeypatch):
    monkeypatch.setattr(encoders, "has_bfloat16", lambda device: False)
    monkeypatch.setenv("PPLUG_QUIET", "1")


def word_pieces():
    from tokenizers import BertWordPieceTokenizer

    vocabulary = {word: number for number, word in enumerate(WORDS.split())}
    return BertWordPieceTokenizer(vocabulary)._tokenizer


def transformer(folder, seed=0):
    """A small random BERT as a module."""
    from sentence_transformers.sentence_transformer.modules import Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(seed)
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=len(WORDS.split()), max_position_embeddings=32, initializer_range=1.0, **size)
    BertModel(config).eval().save_pretrained(folder)
    BertTokenizer(tokenizer_object=word_pieces(), model_max_length=32).save_pretrained(folder)
    return Transformer(str(folder))


def save(folder, modules, **options) -> str:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(modules=modules, device="cpu", **options)
    model.save(str(folder), create_model_card=False)
    return str(folder)


def static(seed=0):
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    torch.manual_seed(seed)
    return StaticEmbedding(word_pieces(), embedding_dim=6)


def pooled(folder, pooling="mean", seed=0):
    from sentence_transformers.sentence_transformer.modules import Pooling

    return [transformer(folder, seed), Pooling(8, pooling)]


def routed(tmp_path, query="mean", **options):
    """Queries through one BERT, texts through another."""
    from sentence_transformers.sentence_transformer.modules import Router

    return [Router.for_query_document(pooled(tmp_path / "q", query, 1), pooled(tmp_path / "d", "mean", 2), **options)]


def kinds(tmp_path) -> dict:
    """Name → its modules and options."""
    from sentence_transformers.sentence_transformer.modules import BoW, Dense, Normalize, Router

    torch.manual_seed(3)
    ways = {"query_modules": [Dense(8, 5)], "document_modules": [Dense(8, 5)]}
    bert = pooled(tmp_path / "bert")
    return {
        "static": ([static()], {}),
        "static, normalised": ([static(), Normalize()], {}),
        "static, truncated": ([static()], {"truncate_dim": 3}),
        "bag of words": ([BoW(["dog", "cat", "house"])], {}),
        "truncated": (bert, {"truncate_dim": 4}),
        "truncated behind its normalisation": ([*bert, Normalize()], {"truncate_dim": 4}),
        "two routes": (routed(tmp_path / "two"), {}),
        "two routes, none by default": (routed(tmp_path / "none", default_route=None, allow_empty_key=False), {}),
        "a static way for queries": (
            [Router.for_query_document([static()], [static(1)])],
            {"prompts": {"query": "query : ", "document": "passage : "}},
        ),
        "routes behind a shared trunk": ([*bert, Router.for_query_document(**ways)], {}),
        "prompts": (bert, {"prompts": {"query": "query : ", "document": "passage : "}}),
        "a prompt by default": (bert, {"prompts": {"any": "a red "}, "default_prompt_name": "any"}),
        "a prompt that is not pooled": (
            [bert[0], type(bert[1])(8, "mean", include_prompt=False)],
            {"prompts": {"query": "query : "}},
        ),
        "not for cosines": (bert, {"similarity_fn_name": "dot"}),
    }


KINDS = [
    "static",
    "static, normalised",
    "static, truncated",
    "bag of words",
    "truncated",
    "truncated behind its normalisation",
    "two routes",
    "two routes, none by default",
    "a static way for queries",
    "routes behind a shared trunk",
    "prompts",
    "a prompt by default",
    "a prompt that is not pooled",
    "not for cosines",
]


@pytest.fixture(params=KINDS)
def folder(request, tmp_path):
    modules, options = kinds(tmp_path)[request.param]
    return save(tmp_path / "model", modules, **options)


@pytest.mark.fault(28)
def test_vectors_are_those_of_encode_query_and_encode_document(folder, tmp_path):
    encoder = load_encoder(folder, device="cpu")
    for is_query, call in ((True, encoder.module.encode_query), (False, encoder.module.encode_document)):
        expected = call(TEXTS, normalize_embeddings=True, show_progress_bar=False)
        vectors = encode_texts(encoder, TEXTS, is_query)
        assert vectors.shape == (len(TEXTS), encoder.width) == expected.shape
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
        stored = encode(encoder, TEXTS, tmp_path / "cache", is_query)
        np.testing.assert_allclose(stored, expected, atol=1e-3)
        np.testing.assert_array_equal(stored, encode(encoder, TEXTS, tmp_path / "cache", is_query))


@pytest.mark.fault(28)
def test_a_query_and_a_text_that_go_different_ways_have_different_names_in_the_store(tmp_path):
    two_ways = load_encoder(save(tmp_path / "two", routed(tmp_path / "parts")), device="cpu")
    one_way = load_encoder(save(tmp_path / "one", pooled(tmp_path / "bert")), device="cpu")
    for encoder, same in ((two_ways, False), (one_way, True)):
        assert (text_keys(encoder, TEXTS, True) == text_keys(encoder, TEXTS, False)).all() == same
        vectors = [encode(encoder, TEXTS, tmp_path / "cache", is_query) for is_query in (True, False)]
        assert np.array_equal(*vectors) == same


@pytest.mark.fault(28)
def test_what_happens_on_a_route_is_part_of_the_key(tmp_path):
    keys = {
        load_encoder(save(tmp_path / p, routed(tmp_path / f"{p}-parts", p)), device="cpu").key for p in ("mean", "cls")
    }
    keys |= {
        load_encoder(save(tmp_path / f"s{n}", [static(n)]), device="cpu").key.replace(f"s{n}", "s") for n in (0, 1)
    }
    assert len(keys) == 4


@pytest.mark.fault(26)
def test_an_edited_tokenizer_changes_the_key(tmp_path):
    folder = save(tmp_path / "model", pooled(tmp_path / "bert"))
    before = load_encoder(folder, device="cpu").key
    path = tmp_path / "model" / "tokenizer.json"
    assert '"dog": 9' in path.read_text()
    assert '"cat": 10' in path.read_text()
    path.write_text(path.read_text().replace('"dog": 9', '"dog": 10').replace('"cat": 10', '"cat": 9'))
    assert load_encoder(folder, device="cpu").key != before


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ({"search_query": "query : ", "search_document": "passage : ", "clustering": "a "}, ("query : ", "passage : ")),
        ({"retrieval.query": "query : ", "retrieval.passage": "passage : "}, ("query : ", "passage : ")),
        ({"query": "query : ", "passage": "passage : "}, ("query : ", "passage : ")),
        ({"s2p_query": "query : ", "s2s_query": "a "}, ("", "")),  # which one is not said
        ({"query": "query : ", "search_query": "a "}, ("query : ", "")),
        ({"clustering": "a "}, ("", "")),
    ],
)
def test_prompts_that_are_called_otherwise_are_used_where_one_alone_can_be_meant(tmp_path, prompts, expected):
    encoder = load_encoder(save(tmp_path / "model", pooled(tmp_path / "bert"), prompts=prompts), device="cpu")
    assert (encoder.query_prompt, encoder.text_prompt) == expected


@pytest.mark.fault(28)
def test_a_model_without_a_limit_is_encoded_and_cannot_be_cut(tmp_path):
    folder = save(tmp_path / "static", [static()])
    long = " ".join(["the dog"] * 2000)
    vector = encode_texts(load_encoder(folder, device="cpu"), [long, "the dog"])
    np.testing.assert_allclose(vector[0], vector[1], atol=1e-5)
    with pytest.raises(InputError, match=f"encoder '{folder}': reads texts of any length; leave `max_length` out"):
        load_encoder(folder, device="cpu", max_length=8)


def test_the_copy_to_train_gives_of_queries_what_the_encoder_does(tmp_path):
    from pplug.method.personalized import query_backbone

    for modules in (pooled(tmp_path / "bert"), routed(tmp_path / "parts"), [static()]):
        encoder = load_encoder(save(tmp_path / f"m{len(modules)}{type(modules[0]).__name__}", modules), device="cpu")
        module = query_backbone(encoder)
        with torch.no_grad():
            vectors = module(encoder.tokenize(TEXTS, is_query=True))["sentence_embedding"]
        vectors = torch.nn.functional.normalize(vectors, dim=-1)
        np.testing.assert_allclose(vectors, encode_texts(encoder, TEXTS, is_query=True), atol=1e-5)
        assert all(weight.requires_grad for weight in module.parameters())
        assert not any(weight.requires_grad for weight in encoder.module.parameters())
    short = load_encoder(save(tmp_path / "short", pooled(tmp_path / "b"), truncate_dim=4), device="cpu")
    with pytest.raises(InputError, match="truncated: use train_input_encoder=False"):
        query_backbone(short)


@pytest.mark.parametrize(("kind", "chat"), [("llama", True), ("qwen", False)])
def test_an_llms_first_layers_give_the_mean_of_their_hidden_states(kind, chat, tmp_path, capfd):
    """Of the text alone, without the line break in front and without a chat template."""
    import tiny
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(tiny.save_llm(kind, tmp_path, chat=chat))
    encoder = load_encoder(f"{folder}:1", device="cpu")
    assert "UNEXPECTED" not in "".join(capfd.readouterr())
    texts = ["one two three", "four", "a headline for the article"]
    found = encode_texts(encoder, texts)
    llm, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for text, vector in zip(texts, found, strict=True):
        ids = encoder.module.tokenizer("\n" + text)["input_ids"]
        front = int(encoder.features([text])["prompt_length"][0])
        assert not tokenizer.decode(ids[:front]).strip() and tokenizer.decode(ids[front:]) == f"{text}</s>"
        with torch.no_grad():
            hidden = llm.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0, front:]
        expected = torch.nn.functional.normalize(hidden.mean(dim=0), dim=0)
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    assert encoder.key != load_encoder(f"{folder}:2", device="cpu").key


def test_the_habits_stand_behind_the_models_own_numbers(tmp_path):
    """And what is kept on disk is the model's alone: the same, with habits and without."""
    import tiny

    from pplug.data import HABITS, scaled_style

    folder = str(tiny.save_llm("llama", tmp_path / "llm"))
    plain, both = (load_encoder(f"{folder}:1{more}", device="cpu") for more in ("", "+style"))
    texts = ["One two three!", "four lol", "One two three!"]
    vectors, found = encode(plain, texts, tmp_path), encode(both, texts, tmp_path)
    assert (both.key, both.model_width, both.width) == (plain.key, plain.width, plain.width + len(HABITS))
    np.testing.assert_array_equal(found[:, : plain.width], vectors)
    np.testing.assert_allclose(found[:, plain.width :], scaled_style(texts), rtol=1e-2)
    np.testing.assert_allclose(encode_texts(both, texts), found, atol=2e-2)
