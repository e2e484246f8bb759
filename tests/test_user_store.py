"""Users in one file: what is put is got, changes of several processes all count, a forgotten user leaves no byte."""

import multiprocessing
import os
import signal
import sqlite3
import threading

import numpy as np
import pytest
import replies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replies import items

from pplug.base import DataError, InputError
from pplug.method.user import User
from pplug.method.user_store import UserStore

ASKED = "Reply to: one two"


@pytest.fixture
def model(t5, monkeypatch):
    replies.patch_encoder(monkeypatch)
    return replies.make_model(t5)


@pytest.fixture
def store(model, tmp_path):
    store = UserStore(tmp_path / "users", model)
    yield store
    store.close()


def same(a: User, b: User) -> bool:
    parts = [(a.keys, b.keys), (a.vectors, b.vectors), (a.features.half(), b.features.half())]
    return a.made_for == b.made_for and all(np.array_equal(*pair) for pair in parts)


def test_what_is_put_is_got(store, model):
    users = {name: model.user(items(*words)) for name, words in {"ann": "ab", "bob": "c", "eve": ""}.items()}
    store.put(users.items())
    assert len(store) == 3 and list(store) == sorted(users) and "ann" in store and "al" not in store
    assert all(same(store.get(name), user) for name, user in users.items())
    assert model.generate(ASKED, store.get("ann")) == model.generate(ASKED, users["ann"])
    store.put([("ann", users["bob"])])
    assert len(store) == 3 and same(store.get("ann"), users["bob"])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("xy"), st.booleans(), st.sampled_from("abc")), max_size=8))
def test_adding_and_removing_is_what_a_user_does(store, model, steps):
    kept = {}
    for name in list(store):
        store.forget(name)
    for name, is_added, word in steps:
        if is_added:
            kept.setdefault(name, []).append(word)
            store.add(name, items(word))
        elif word in kept.get(name, []):
            kept[name] = [other for other in kept[name] if other != word]
            store.remove(name, items(word))
    assert sorted(store) == sorted(kept)
    assert all(len(store.get(name)) == len(words) for name, words in kept.items())
    for name, words in kept.items():
        asked = [model.soft_prompt(ASKED, user) for user in (store.get(name), model.user(items(*words)))]
        np.testing.assert_allclose(*asked, atol=1e-2)  # features are kept in half precision


def test_who_is_not_there_and_what_is_no_item_is_said(store, tmp_path):
    with pytest.raises(KeyError, match="nobody"):
        store.get("nobody")
    with pytest.raises(KeyError, match="nobody"):
        store.remove("nobody", items("a"))
    assert store.forget("nobody") is False
    with pytest.raises(InputError):
        store.add("ann", [{"message": "no reply"}])
    assert "ann" not in store
    without = UserStore(store.path)
    with pytest.raises(InputError, match="UserStore\\(path, model\\)"):
        without.add("ann", items("a"))
    without.close()
    (tmp_path / "other").write_bytes(b"not a store of users, and long enough to be taken for one" * 99)
    with pytest.raises(DataError, match="expected a store of users"):
        UserStore(tmp_path / "other")


def test_a_user_of_another_plug_is_refused(store, t5):
    store.add("ann", items("a"))
    other = UserStore(store.path, replies.make_model(t5, pooling="max"))
    with pytest.raises(InputError, match="made for the"):
        other.get("ann")
    other.close()


def test_all_are_put_or_none(store, model):
    def some():
        yield "ann", model.user(items("a"))
        raise RuntimeError("the rest is missing")

    with pytest.raises(RuntimeError, match="missing"):
        store.put(some())
    assert len(store) == 0


def bytes_of(store: UserStore) -> bytes:
    return b"".join(path.read_bytes() for path in store.path.parent.glob(f"{store.path.name}*"))


def test_a_forgotten_user_leaves_no_byte(store, model):
    """Nor does an item that was removed; also while another process has the store open."""
    other = UserStore(store.path)
    everyone = {f"user-{number}": model.user(items(f"w{number}", f"v{number}")) for number in range(40)}
    store.put(everyone.items())
    known = other.get("user-7")
    traces = {
        name: [name.encode(), user.vectors[0].tobytes(), user.keys[1].tobytes()] for name, user in everyone.items()
    }
    assert all(trace in bytes_of(store) for some in traces.values() for trace in some), "else nothing is tested"
    assert store.forget("user-7") and "user-7" not in other
    left = bytes_of(store)
    assert not any(trace in left for trace in traces["user-7"]) and len(known) == 2
    assert all(trace in left for trace in traces["user-8"])
    store.remove("user-8", items("w8"))
    left = bytes_of(store)
    assert traces["user-8"][1] not in left and traces["user-8"][2] in left
    other.close()


def test_a_reader_in_the_middle_is_waited_for(store, model, monkeypatch):
    monkeypatch.setattr("pplug.method.user_store.WAIT", 0.1)
    store.add("ann", items("a"))
    reader = sqlite3.connect(store.path, isolation_level=None)
    reader.execute("BEGIN"), reader.execute("SELECT * FROM users").fetchone()
    store._connection().execute("PRAGMA busy_timeout = 50")
    with pytest.raises(TimeoutError, match="its log holds what was deleted"):
        store.forget("ann")
    assert "ann" not in store
    reader.close()
    assert store.forget("ann") is False and b"ann" not in bytes_of(store)


def test_threads_share_a_store(store):
    def work(number):
        for word in "abcde":
            store.add("ann", items(f"{word}{number}"))
        store.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.get("ann")) == 20, "no change is lost"


def _put_for_ever(path, data: bytes) -> None:
    user, store = User.from_bytes(data), UserStore(path)
    for number in range(10**6):
        store.put([(f"user-{number % 50}", user), (f"twin-{number % 50}", user)])


def test_a_process_that_is_killed_leaves_no_half_user(store, model):
    user = model.user(items("a", "b"))
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=_put_for_ever, args=(store.path, user.to_bytes()))
    writer.start()
    while len(store) < 20:
        pass
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    names = list(store)
    assert len(names) % 2 == 0 and all(name.replace("user", "twin") in names for name in names)
    assert all(same(store.get(name), user) for name in names)
