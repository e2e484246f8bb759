"""Does the cost grow linearly? 1,000, 3,000 and 10,000 simulated users of 100 items: made, encoded, mapped.

`python -m benchmarks.scale [FOLDER]`: with a folder, the store stays there, and a run that was stopped goes on from it.
"""

import itertools
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pplug.data.tasks import get_task, history_text
from pplug.insight.maps import fit_umap
from pplug.method.encoders import encode, load_encoder
from pplug.offline.simulate import QUESTIONS, make_user
from pplug.study.records import environment, save_record

USERS, ITEMS, SEED, TASK = (1_000, 3_000, 10_000), 100, 77, "LaMP-4"


def run(store: Path, users: tuple[int, ...] = USERS) -> list[dict]:
    """Make, encode and map ever more users. The first users of a size are those of the size before, encoded once.

    Args:
        store: Folder of the vectors.
        users: The sizes, growing.

    Returns:
        For each size `users`, `distinct_texts`, `seconds` of each part for all of its users, and `peak_gib` of memory.
    """
    task, encoder = get_task(TASK), load_encoder()
    means, seen, sizes = np.zeros((0, encoder.width), np.float32), set(), []
    seconds = {"simulate": 0.0, "encode": 0.0, "map": 0.0}
    for first, last in itertools.pairwise((0, *users)):
        start = time.perf_counter()
        new = (make_user(TASK, f"s{i:05d}", SEED, ITEMS - len(QUESTIONS)) for i in range(first, last))
        texts = [history_text(task, text.item) for user in new for text in user.texts]
        made = time.perf_counter()
        vectors = encode(encoder, texts, store).reshape(last - first, ITEMS, -1)
        means = np.concatenate([means, vectors.mean(axis=1, dtype=np.float32)])
        encoded = time.perf_counter()
        fit_umap(means, 0)
        seen.update(texts)
        seconds["simulate"] += made - start
        seconds["encode"] += encoded - made
        seconds["map"] = time.perf_counter() - encoded  # of all users, every time
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        sizes.append({"users": last, "distinct_texts": len(seen), "seconds": dict(seconds), "peak_gib": peak})
        print(sizes[-1], flush=True)
    return sizes


def main(arguments: list[str]) -> None:
    """Run all sizes and record them, unless vectors of an earlier run would make the seconds too few."""
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(arguments[0] if arguments else scratch)
        is_fresh = not (store / "vectors").exists()
        sizes = run(store)
    if is_fresh:
        save_record({"sizes": sizes, **environment()}, "benchmarks", "scale")


if __name__ == "__main__":
    main(sys.argv[1:])
