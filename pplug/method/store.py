"""The store of vectors on disk: half precision, memory-mapped, one file a shard, found by the hash of the text.

A shard is named after the hash of its bytes: no stale or damaged vector can be read. N texts, D encoder width.
"""

import functools
import hashlib
import io
import logging
from contextlib import suppress
from pathlib import Path

import numpy as np

from pplug.base import file_hash, remove_left, write_bytes

MERGE_AT = 32  # small shards become one shard
LARGE_SHARD = 50_000  # rows; larger shards are left as they are


def read(folder: Path, keys: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Look up sorted distinct keys, [N] S16 → vectors, [N, D] float16, and whether the store has them, [N] bool."""
    remove_left(folder)
    vectors, found = np.empty((len(keys), width), dtype=np.float16), np.zeros(len(keys), dtype=bool)
    for stored, records in shards(folder).values():
        if records["vector"].shape[1:] != (width,):
            continue  # another encoder's
        place = np.searchsorted(keys, stored)
        rows = np.flatnonzero(place < len(keys))
        rows = rows[keys[place[rows]] == stored[rows]]
        vectors[place[rows]] = records["vector"][rows]
        found[place[rows]] = True
    return vectors, found


def add(folder: Path, keys: np.ndarray, vectors: np.ndarray) -> None:
    """Keep vectors, [N, D], under keys, [N] S16. Small shards are merged, so that many small calls do not hurt.

    Processes need no lock: a shard never changes, and it is deleted only once its records stand in another.
    """
    records = np.empty(len(keys), dtype=[("key", "S16"), ("vector", "<f2", vectors.shape[1:])])
    records["key"], records["vector"] = keys, vectors
    _write(folder, records)
    alike = {path: r for path, (_, r) in shards(folder).items() if r.dtype == records.dtype}
    small = {path: records for path, records in alike.items() if len(records) < LARGE_SHARD}
    if len(small) >= MERGE_AT:
        records = np.concatenate(list(small.values()))
        merged = _write(folder, records[np.unique(records["key"], return_index=True)[1]])
        for path in small.keys() - {merged}:
            with suppress(OSError):  # another process may have deleted it, or, on Windows, be reading it
                path.unlink()


def remove(folder: Path, keys: np.ndarray) -> int:
    """Remove the vectors of these keys, [N] S16, from disk: shards that hold one are written anew without it.

    Also removed is what a killed process left half-written. Not for use while another process writes to the store.

    Returns:
        How many vectors were removed.
    """
    gone = 0
    for path, (stored, records) in shards(folder).items():
        hit = np.isin(stored, keys)
        if hit.any():
            if not hit.all():
                _write(folder, np.array(records[~hit]))
            path.unlink()
            gone += int(hit.sum())
    for left in folder.glob(".*.tmp"):
        left.unlink()
    return gone


def _write(folder: Path, records: np.ndarray) -> Path:
    """Write one shard, named after the hash of its bytes."""
    buffer = io.BytesIO()
    np.save(buffer, records, allow_pickle=False)
    path = folder / f"{hashlib.sha256(buffer.getbuffer()).hexdigest()[:32]}.npy"
    write_bytes(path, buffer.getbuffer())
    return path


def shards(folder: Path) -> dict[Path, tuple[np.ndarray, np.ndarray]]:
    """The store's shards → their keys, in memory, and their records, memory-mapped. Damaged ones are deleted."""
    found = {}
    for path in sorted(folder.glob("[!.]*.npy")):
        with suppress(FileNotFoundError):  # merged by another process since it was listed
            state = path.stat()
            try:
                found[path] = _open_shard(path, state.st_mtime_ns, state.st_size)
            except ValueError:
                logging.getLogger(__name__).info("%s is damaged: deleted, its texts are encoded again", path)
                path.unlink()
    return found


@functools.lru_cache(maxsize=128)  # so that a call for one text does not read all files
def _open_shard(path: Path, time: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Verify and open a shard; its time and size are arguments so that a changed file is verified again."""
    if file_hash(path)[:32] != path.stem:
        raise ValueError(path)
    try:
        records = np.lib.format.open_memmap(path, mode="r")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a forged header can make numpy's parser raise anything
        raise ValueError(path) from error
    kind = records.dtype
    if records.ndim != 1 or kind.names != ("key", "vector") or (kind["key"], kind["vector"].base) != ("S16", "<f2"):
        raise ValueError(path)
    return np.array(records["key"]), records
