"""Deleted means deleted: nothing of a forgotten user is left in any file, and nothing else is missing."""

import numpy as np
import pytest

from pplug.__main__ import main
from pplug.data import DataError, load
from pplug.encoders import encode, load_encoder, text_keys
from pplug.forget import forget_user
from pplug.own_users import Text, write_users
from pplug.tasks import history_text, query_text
from pplug.vectors import read

TASK = "LaMP-4"


@pytest.fixture(scope="module")
def encoder():
    return load_encoder()


@pytest.fixture
def world(tmp_path, encoder):
    """Three users with histories and vectors; `ann` and `bob` share one text."""
    texts = [
        Text(user, f"2024-01-{day:02}", f"{user} writes about matter {day}" if day > 1 else "a shared text", f"t {day}")
        for user in ("ann", "bob", "eve")
        for day in range(1, 8)
    ]
    write_users(tmp_path / "data", TASK, texts)
    data = load(tmp_path / "data", TASK, tmp_path / "cache")
    encode(encoder, data.history_texts(), tmp_path / "cache")
    encode(encoder, data.history_texts(with_label=False), tmp_path / "cache")
    encode(encoder, [e["input"] for e in data.splits["train"]], tmp_path / "cache", is_query=True)
    reads = [query_text(data.task, e["input"]) for split in data.splits.values() for e in split]
    encode(encoder, reads, tmp_path / "cache", is_query=True)
    return tmp_path, data


def contents(folder):
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def bytes_of(encoder, data, user, cache):
    """The user's own texts and their vectors, as they would stand in a file."""
    own = [e for split in data.splits.values() for e in split if e["user_id"] == user]
    rows = {row for e in own for row in e["profile"]}
    texts = [history_text(data.task, data.items[row]) for row in rows]
    texts = [text for text in texts if "shared" not in text]
    vectors, found = read(cache / "vectors" / encoder.key, np.sort(text_keys(encoder, texts)), encoder.width)
    assert found.all() and len(texts) == 5
    return [f"{user} writes about".encode(), *(vector.tobytes() for vector in vectors)]


def test_no_file_holds_a_forgotten_users_texts_or_vectors(world, encoder):
    folder, data = world
    hers, his = (bytes_of(encoder, data, user, folder / "cache") for user in ("ann", "bob"))
    everything = contents(folder)
    assert all(part in everything for part in hers + his)
    told = forget_user(folder / "data", TASK, "ann", encoder, folder / "cache")
    left = contents(folder)
    assert not any(part in left for part in hers)
    after = load(folder / "data", TASK, folder / "cache")
    assert all(part in contents(folder) for part in his)
    assert told["questions"] == 3 and told["vectors"] == 9  # five items, three questions, one of them also in full
    assert {e["user_id"] for split in after.splits.values() for e in split} == {"bob", "eve"}


def test_a_text_that_others_have_too_stays_theirs(world, encoder):
    folder, data = world
    shared = [text for text in data.history_texts() if "shared" in text]
    forget_user(folder / "data", TASK, "ann", encoder, folder / "cache")
    store = folder / "cache" / "vectors" / encoder.key
    assert read(store, text_keys(encoder, shared), encoder.width)[1].all()
    forget_user(folder / "data", TASK, "bob", encoder, folder / "cache")
    assert read(store, text_keys(encoder, shared), encoder.width)[1].all()  # eve has it, too
    forget_user(folder / "data", TASK, "eve", encoder, folder / "cache")
    assert not read(store, text_keys(encoder, shared), encoder.width)[1].any() and not list(store.iterdir())


def test_what_a_killed_process_left_goes_too(world, encoder):
    folder, _ = world
    left = folder / "cache" / "vectors" / encoder.key / ".1.npy.99.tmp"
    left.write_bytes(b"half a shard")
    forget_user(folder / "data", TASK, "ann", encoder, folder / "cache")
    assert not left.exists()


def test_a_user_who_is_not_there_is_an_error(world, encoder, capsys):
    folder, _ = world
    with pytest.raises(DataError, match="expected a user called 'nobody'"):
        forget_user(folder / "data", TASK, "nobody", encoder, folder / "cache")
    with pytest.raises(SystemExit, match="nobody"):
        main(["forget", TASK, str(folder / "data"), "nobody"])
    main(["forget", TASK, str(folder / "data"), "ann"])
    assert "removed: 3 questions" in capsys.readouterr().out
