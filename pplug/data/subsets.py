"""A seeded subset of users, so that a laptop can run on a large dataset."""

import hashlib
from dataclasses import replace

from pplug.data.loading import Data


def subset(data: Data, n_users: int | None, seed: int = 0) -> Data:
    """Keep so many users of each split, and the history items they have.

    Users are drawn by the hash of their id: the same in every split that has them, whatever other users there are.

    Args:
        data: One task's data.
        n_users: Users of each split; all if None.
        seed: Of the draw.

    Returns:
        The smaller data, with a hash of its own; `data` itself where nothing is left out.
    """
    owners = {name: split["user_id"][:] for name, split in data.splits.items()}
    if n_users is None or all(len(set(users)) <= n_users for users in owners.values()):
        return data
    splits = {}
    for name, users in owners.items():
        drawn = sorted(set(users), key=lambda user: hashlib.sha256(f"{seed}/{user}".encode()).digest())[:n_users]
        kept = set(drawn)
        places = [place for place, user in enumerate(users) if user in kept]
        splits[name] = data.splits[name].select(places).to_list()  # only these are ever in memory
    used = sorted({row for examples in splits.values() for example in examples for row in example["profile"]})
    place = {row: new for new, row in enumerate(used)}
    digest = hashlib.sha256(f"{data.hash}/{n_users}/{seed}".encode()).hexdigest()
    from datasets import Dataset

    return replace(
        data,
        history=data.history.select(used),
        splits={
            name: Dataset.from_list(
                [example | {"profile": [place[row] for row in example["profile"]]} for example in examples],
                features=data.splits[name].features,
            )
            for name, examples in splits.items()
        },
        hash=digest,
    )
