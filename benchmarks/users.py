"""A store of a million users: how long a look-up takes in SQLite, which `UserStore` keeps, and in LMDB.

A user is one of mean pooling with twenty items, as the shipped plug for chats makes them: three kilobytes. *Cold* is a
file that was just opened and of which the system has nothing in memory.
"""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import lmdb
import numpy as np
import torch

from pplug.method import answering, user
from pplug.method.encoders import encode_texts, load_encoder
from pplug.method.personalized import PersonalizedLM
from pplug.method.user import User
from pplug.method.user_store import UserStore
from pplug.offline.simulate import make_user

USERS, AT_ONCE, COLD, WARM = 1_000_000, 20_000, 40, 4_000
WIDTH, ITEMS = 576, 20
TASK = "LaMP-4"


def rows(users: int = USERS) -> list[dict]:
    """Fill both stores with the same users and look some up; in the one that is kept, also change and forget."""
    with tempfile.TemporaryDirectory() as folder:
        kept = _sqlite(Path(folder) / "users", users)
    with tempfile.TemporaryDirectory() as folder:
        return [*kept, *_lmdb(Path(folder) / "users", users), _add_and_answer()]


def made(number: int) -> User:
    """A user whose numbers follow from this one."""
    drawn = np.random.default_rng(number)
    keys = drawn.integers(0, 256, size=(ITEMS, 16), dtype=np.uint8)
    total = torch.from_numpy(drawn.normal(size=WIDTH).astype(np.float32))
    return User({"task": "chat", "encoder": "an encoder", "plug": "0" * 16}, keys, None, None, total)


def forgotten_by_the_system(path: Path) -> None:
    """Have the system drop what it holds of a file, so that the next look-up reads the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _names(users: int, asked: int, seed: int) -> list[str]:
    return [f"user-{number}" for number in random.Random(seed).sample(range(users), min(asked, users))]


def _seconds(call: Callable[[str], object], names: list[str]) -> list[float]:
    found = []
    for name in names:
        start = time.perf_counter()
        call(name)
        found.append(time.perf_counter() - start)
    return found


def _told(what: str, goal: str, seconds: list[float], more: str = "") -> dict:
    high = np.quantile(seconds, 0.95) * 1e3
    detail = f"median {statistics.median(seconds) * 1e3:.3g} ms, 95 % below {high:.3g} ms{more}"
    return {"what": what, "goal": goal, "value": statistics.median(seconds), "detail": detail}


def _sqlite(path: Path, users: int) -> list[dict]:
    some, store, start = [made(number) for number in range(1000)], UserStore(path), time.perf_counter()
    for first in range(0, users, AT_ONCE):
        store.put((f"user-{n}", some[n % 1000]) for n in range(first, min(first + AT_ONCE, users)))
    filled, size = time.perf_counter() - start, path.stat().st_size
    store.close()
    cold = []
    for name in _names(users, COLD, 1):
        forgotten_by_the_system(path)
        cold += _seconds(lambda name: UserStore(path).get(name), [name])
    names = _names(users, WARM, 2)
    _seconds(store.get, names)
    warm, gone = _seconds(store.get, names), _seconds(store.forget, names[:COLD])
    among = f"of {users:,}, seconds"
    more = f"; {size / users:,.0f} bytes and {filled / users * 1e6:.0f} µs a user to write"
    return [
        _told(f"a user {among}, cold", "≤ 1/200", cold, more),
        _told(f"a user {among}, warm", "≤ 1/5000", warm),
        _told(f"forgetting a user {among}, no byte left", "", gone),
    ]


def _lmdb(path: Path, users: int) -> list[dict]:
    some, start = [made(number) for number in range(1000)], time.perf_counter()
    options = {"map_size": 2**34, "subdir": False}
    with lmdb.open(str(path), **options) as store:
        for first in range(0, users, AT_ONCE):
            with store.begin(write=True) as change:
                for n in range(first, min(first + AT_ONCE, users)):
                    change.put(f"user-{n}".encode(), some[n % 1000].to_bytes())
    filled, size = time.perf_counter() - start, path.stat().st_blocks * 512

    def get(store, name):
        with store.begin() as view:
            return User.from_bytes(view.get(name.encode()))

    cold = []
    for name in _names(users, COLD, 1):
        forgotten_by_the_system(path)
        start = time.perf_counter()
        with lmdb.open(str(path), readonly=True, **options) as store:
            get(store, name)
            cold.append(time.perf_counter() - start)
    with lmdb.open(str(path), readonly=True, **options) as store:
        names = _names(users, WARM, 2)
        _seconds(lambda name: get(store, name), names)
        warm = _seconds(lambda name: get(store, name), names)
    more = f"; {size / users:,.0f} bytes and {filled / users * 1e6:.0f} µs a user to write"
    among = f"of {users:,}, seconds, in LMDB, which was not kept"
    return [_told(f"a user {among}, cold", "", cold, more), _told(f"a user {among}, warm", "", warm)]


def _add_and_answer() -> dict:
    """A new item is added to a stored user, the user read again, and the soft prompt of a question made."""
    encoder, encoding = load_encoder(device="cpu"), []

    def timed(*given, **options):
        start = time.perf_counter()
        vectors = encode_texts(*given, **options)
        encoding.append(time.perf_counter() - start)
        return vectors

    model = PersonalizedLM.create(TASK, llm="standin", encoder=encoder, soft_tokens=4)
    items = [text.item for text in make_user(TASK, "served", 0, 200).texts]
    question = model.task.template.format(article=items[-1]["text"])
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(user, "encode_texts", timed),
        mock.patch.object(answering, "encode_texts", timed),
    ):
        store = UserStore(Path(folder) / "users", model)
        store.put([("ann", model.user(items[:100]))])
        beyond = []
        for item in items[100:140]:
            encoding.clear()
            start = time.perf_counter()
            store.add("ann", [item])
            model.soft_prompt(question, store.get("ann"))
            beyond.append(time.perf_counter() - start - sum(encoding))
        store.close()
    what = "adding an item to a stored user of 100 and making a question's soft prompt, seconds beyond encoding both"
    return _told(what, "≤ 1/20", beyond)
