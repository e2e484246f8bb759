"""The frozen encoder and its store: fake encoders count what is encoded, MiniLM and a tiny random BERT are real."""

import multiprocessing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.method import encoders, store
from pplug.method.encoders import Encoder, encode, encode_texts

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
