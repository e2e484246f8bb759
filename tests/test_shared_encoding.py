"""A table of texts is encoded in chunks by several processes: each text by one of them, once; stopped, it goes on."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pplug.data import load
from pplug.method import encode_shared, shared_encoding
from pplug.method.encoders import encode, load_encoder
from pplug.offline.simulate import simulate


def keys_of(encoder, texts) -> np.ndarray:
    """Stands for `encoders.text_keys`: a hash of the text alone."""
    return np.array([hashlib.sha256(text.encode()).digest()[:16] for text in texts], dtype="S16")


@given(st.lists(st.sampled_from("abcdefghijkl"), max_size=60), st.integers(1, 5), st.integers(1, 9))
def test_each_text_is_encoded_by_one_process_once(texts, parts, chunk):
    encoded = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_encoding, "CHUNK", chunk)
        patch.setattr(shared_encoding, "text_keys", keys_of)
        patch.setattr(shared_encoding, "encode", lambda encoder, texts, cache: encoded.append([*texts]))
        for part in range(parts):
            encoded.append(part)
            encode_shared(None, iter(texts), part, parts)
    of_part = {}
    for entry in encoded:
        if isinstance(entry, int):
            mine = of_part.setdefault(entry, set())
        else:
            assert len(entry) == len(set(entry)) <= chunk
            mine.update(entry)
    assert set().union(*of_part.values()) == set(texts)
    assert sum(map(len, of_part.values())) == len(set(texts)), "no text is two processes'"


def test_no_more_than_a_chunk_is_read_ahead(monkeypatch):
    monkeypatch.setattr(shared_encoding, "CHUNK", 4)
    monkeypatch.setattr(shared_encoding, "text_keys", keys_of)
    given, read = [], iter(str(number) for number in range(10))
    monkeypatch.setattr(shared_encoding, "encode", lambda encoder, texts, cache: given.append(int(next(read))))
    encode_shared(None, read)
    assert given == [4, 9], "four were read, then one by this test; the rest after that"


@pytest.mark.long
def test_one_command_shares_the_work_and_goes_on_where_it_stopped(tmp_path):
    simulate(tmp_path / "LaMP_4", "LaMP-4", 12, seed=0)
    texts = sorted(set(load(tmp_path / "LaMP_4", "LaMP-4", tmp_path / "other").history_texts()))
    encoder = load_encoder(device="cpu")
    encode(encoder, texts[::3], tmp_path / "cache")  # as a stopped run would leave it
    known = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PPLUG_CACHE": str(tmp_path / "cache")}
    known["PYTHONPATH"] = str(Path(__file__).parents[1])
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "-m", "pplug", "encode"]
    command += ["LaMP-4", str(tmp_path / "LaMP_4")]
    done = subprocess.run(command, check=False, env=known, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    shares = {part: int(own) for own, part in re.findall(r"^(\d+) distinct .* process (\d) of 2$", done.stdout, re.M)}
    assert set(shares) == {"1", "2"} and sum(shares.values()) == len(texts) and min(shares.values()) > len(texts) / 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pplug.method.encoders._batches", lambda encoder, unseen, *_: iter([]) if not unseen else 1 / 0)
        found = encode(encoder, texts, tmp_path / "cache")
    assert np.isfinite(found).all() and len(found) == len(texts), "all of them are in the store"
