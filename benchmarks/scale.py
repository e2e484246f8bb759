"""Does the cost grow linearly? 1,000, 3,000 and 10,000 simulated users of 100 items: made, encoded, mapped.

`python -m benchmarks.scale`: resumable, since vectors are kept in the store as they are made.
"""

import resource
import time

import numpy as np

from pplug.encoders import encode, load_encoder
from pplug.maps import fit_umap
from pplug.simulate import QUESTIONS, make_user
from pplug.tasks import get_task, history_text

USERS, ITEMS, SEED, TASK = (1_000, 3_000, 10_000), 100, 77, "LaMP-4"


def run(n_users: int) -> dict:
    """Make, encode and map so many users; seconds of each."""
    task, start = get_task(TASK), time.perf_counter()
    users = (make_user(TASK, f"s{i:05d}", SEED, ITEMS - len(QUESTIONS)) for i in range(n_users))
    texts = [history_text(task, text.item) for user in users for text in user.texts]
    made = time.perf_counter()
    vectors = encode(load_encoder(), texts)
    encoded = time.perf_counter()
    means = vectors.reshape(n_users, ITEMS, -1).mean(axis=1, dtype=np.float32)
    fit_umap(means, 0)
    mapped = time.perf_counter()
    return {
        "users": n_users,
        "distinct_texts": len(set(texts)),
        "seconds": {"simulate": made - start, "encode": encoded - made, "map": mapped - encoded},
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
