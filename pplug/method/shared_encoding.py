"""A table of texts, of any length, into the store: each distinct text by one process, once, however many they are."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from pplug.method.encoders import Encoder, encode, text_keys

CHUNK = 50_000  # texts in memory at a time


def encode_shared(
    encoder: Encoder, texts: Iterable[str], part: int = 0, parts: int = 1, cache: str | Path | None = None
) -> int:
    """Encode this process's share of texts that are read one after the other, never all of them in memory.

    Whose a text is follows from its hash, so processes need not speak to each other: of two equal texts both are the
    same process's, and the second is in the store by then. A run that was stopped goes on where it was.

    Args:
        encoder: From `load_encoder`.
        texts: All of them, in every process.
        part: Which of the processes this is, from 0.
        parts: How many there are.
        cache: As for `encode`.

    Returns:
        How many texts were this process's, equal ones counted once for each chunk they stood in.
    """
    rest, own = iter(texts), 0
    while chunk := list(islice(rest, CHUNK)):
        keys, first = np.unique(text_keys(encoder, chunk), return_index=True)
        whose = np.array([int.from_bytes(key.ljust(16, b"\0")[:8], "big") % parts for key in keys], dtype=np.int64)
        mine = [chunk[row] for row in first[whose == part]]
        encode(encoder, mine, cache)
        own += len(mine)
    return own
