"""Deleted means deleted: nothing of a forgotten user is left in any file, and nothing else is missing."""

import numpy as np
import pytest

from pplug.__main__ import main
from pplug.base.errors import DataError
from pplug.base.files import write_text
from pplug.data.loading import load
from pplug.data.tasks import build_input, history_text, query_text
from pplug.method.encoders import encode, load_encoder, text_keys
from pplug.method.store import read
from pplug.sources.forget import forget
from pplug.sources.own_users import Text, write_users

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
    told = forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    left = contents(folder)
    assert not any(part in left for part in hers)
    after = load(folder / "data", TASK, folder / "cache")
    assert all(part in contents(folder) for part in his)
    assert told["questions"] == 3 and told["vectors"] == 9  # five items, three questions, one of them also in full
    assert {e["user_id"] for split in after.splits.values() for e in split} == {"bob", "eve"}


def test_single_items_are_forgotten_with_the_question_about_them(world, encoder):
    """Item 0-4 is the text that the train question asks about."""
    folder, data = world
    prepared = [build_input(data.task, article="ann writes about matter 3")]  # as training asks about history items
    encode(encoder, prepared, folder / "cache", is_query=True)
    told = forget(folder / "data", TASK, "ann", encoder, ["0-2", "0-4"], folder / "cache")
    after, left = load(folder / "data", TASK, folder / "cache"), contents(folder)
    assert told["questions"] == 1 and [len(split) for split in after.splits.values()] == [2, 3, 3]
    for day, is_there in ((2, True), (3, False), (4, True), (5, False), (6, True)):
        assert (f"ann writes about matter {day}".encode() in left) == is_there, day
    hers = after.splits["test"].filter(lambda e: e["user_id"] == "ann", load_from_cache_file=False)[0]
    assert [after.items[row]["title"] for row in hers["profile"]] == ["t 1", "t 2", "t 4", "t 6"]
    store = folder / "cache" / "vectors" / encoder.key
    gone = [history_text(data.task, {"text": f"ann writes about matter {day}", "title": f"t {day}"}) for day in (3, 5)]
    assert not read(store, np.sort(text_keys(encoder, gone + prepared, is_query=True)), encoder.width)[1].any()


def test_a_run_that_was_stopped_is_started_again(world, encoder, monkeypatch):
    folder, _ = world
    written = []

    def stop_in_the_middle(path, text):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path.name)
        write_text(path, text)

    monkeypatch.setattr("pplug.sources.forget.write_text", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    assert written[-1] == "dev_outputs.json"  # the question is there, its output is not: `load` would refuse the folder
    monkeypatch.undo()
    forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    assert b"ann writes" not in contents(folder)
    assert len(load(folder / "data", TASK, folder / "cache").splits["test"]) == 2


def test_a_text_that_others_have_too_stays_theirs(world, encoder):
    folder, data = world
    shared = [text for text in data.history_texts() if "shared" in text]
    forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    store = folder / "cache" / "vectors" / encoder.key
    assert read(store, text_keys(encoder, shared), encoder.width)[1].all()
    forget(folder / "data", TASK, "bob", encoder, cache=folder / "cache")
    assert read(store, text_keys(encoder, shared), encoder.width)[1].all()  # eve has it, too
    forget(folder / "data", TASK, "eve", encoder, cache=folder / "cache")
    assert not read(store, text_keys(encoder, shared), encoder.width)[1].any() and not list(store.iterdir())


def test_what_a_killed_process_left_goes_too(world, encoder):
    folder, _ = world
    left = folder / "cache" / "vectors" / encoder.key / ".1.npy.99.tmp"
    left.write_bytes(b"half a shard")
    forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    assert not left.exists()


def test_a_user_who_is_not_there_is_an_error(world, encoder, capsys):
    folder, _ = world
    with pytest.raises(DataError, match="expected a user called 'nobody'"):
        forget(folder / "data", TASK, "nobody", encoder, cache=folder / "cache")
    with pytest.raises(SystemExit, match="nobody"):
        main(["forget", TASK, str(folder / "data"), "nobody"])
    with pytest.raises(SystemExit, match="user ann: expected ids of items of this user, found '9-9'"):
        main(["forget", TASK, str(folder / "data"), "ann", "--items", "0-1", "9-9"])
    main(["forget", TASK, str(folder / "data"), "ann"])
    assert "removed: 3 questions" in capsys.readouterr().out
