"""vectors.py: what is added is read, what is removed is gone, nothing else changes. More of it: test_encoders.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.method import store

WIDTH = 3


def keys_of(numbers) -> np.ndarray:
    """16 bytes each; never ending in a zero byte, which numpy would cut off."""
    return np.array([b"%015d." % number for number in sorted(numbers)], dtype="S16")


def vectors_of(numbers) -> np.ndarray:
    return np.array([[number, -number, 0.5] for number in sorted(numbers)], dtype=np.float16).reshape(-1, WIDTH)


numbers = st.sets(st.integers(0, 40), max_size=12)


@settings(max_examples=60, deadline=None)
@given(added=st.lists(numbers, min_size=1, max_size=5), removed=numbers)
def test_removed_vectors_are_in_no_file_and_all_others_are(tmp_path_factory, added, removed):
    folder = tmp_path_factory.mktemp("store")
    for some in added:
        store.add(folder, keys_of(some), vectors_of(some))
    kept = set().union(*added)
    # A text may stand in several shards; equal shards are one file.
    stored = sum(number in some for some in set(map(frozenset, added)) for number in removed)
    assert store.remove(folder, keys_of(removed)) == stored
    found, is_there = store.read(folder, keys_of(range(41)), WIDTH)
    assert is_there.tolist() == [number in kept - removed for number in range(41)]
    np.testing.assert_array_equal(found[is_there], vectors_of(kept - removed))
    on_disk = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not any(key in on_disk for key in keys_of(removed))


def test_an_emptied_store_has_no_files(tmp_path):
    store.add(tmp_path, keys_of({1, 2}), vectors_of({1, 2}))
    assert store.remove(tmp_path, keys_of({1, 2, 3})) == 2 and not list(tmp_path.iterdir())


def test_removing_nothing_rewrites_nothing(tmp_path):
    store.add(tmp_path, keys_of({1, 2}), vectors_of({1, 2}))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert store.remove(tmp_path, keys_of({3})) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_killed_between_writing_and_deleting_it_is_started_again(tmp_path, monkeypatch):
    store.add(tmp_path, keys_of({1, 2}), vectors_of({1, 2}))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        store.remove(tmp_path, keys_of({2}))
    assert store.remove(tmp_path, keys_of({2})) == 1
    assert store.read(tmp_path, keys_of({1, 2}), WIDTH)[1].tolist() == [True, False]
