"""Maps of user embeddings: from users to vectors, from vectors to points. What they are worth: `probes.py`.

All vectors are `[n, W]`, one user a row; points are `[n, 2]`, the same users on a map. Distances between vectors are
cosine distances, distances between points are Euclidean.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from pplug.base import InputError, needing
from pplug.data import Data, style
from pplug.method import Example, PersonalizedLM, collate, prepare

TINY = 1e-6  # keeps a division by the length of a zero vector finite
WHOLE_NAMES = {"hard": "hard news", "soft": "soft news"}  # of groups whose short name says nothing by itself

# --- from users to vectors -------------------------------------------------------------------------------------------


@torch.inference_mode()
def user_embeddings(model: PersonalizedLM, examples: list[Example], batch_size: int = 64) -> np.ndarray:
    """The user embeddings `P^u` of many examples, *Paper: Eq. 4*, as the LLM is given them.

    Args:
        model: With a plug that has a user embedding.
        examples: From `batches.prepare` or `mean_query`, one for each user.
        batch_size: Examples at a time.

    Returns:
        `[n, P·H] float32`: a user's soft tokens side by side, in units of the plug's `embedding_norm`. A plug that
        normalises gives each token the same length, here 1, so that only the direction tells users apart; one that
        does not (`normalise=False`, as in the release) gives each its own, which the LLM sees too. Of a `crowd` plug
        it is what the user adds to everyone's tokens.

    Raises:
        InputError: The plug has no user embedding.
    """
    config = model.plug.config
    if not config.user:
        raise InputError("this plug has no user embedding (user=False), so there is nothing to map")
    parts = [np.zeros((0, config.soft_tokens * config.llm_width), dtype=np.float32)]
    for start in range(0, len(examples), batch_size):
        batch = collate(model, examples[start : start + batch_size], for_generation=True)
        tokens = model.plug.user_embedding(batch["query"], batch["history"], batch["history_mask"])
        parts.append(model.plug.user_part(tokens).flatten(1).float().cpu().numpy())
    return np.concatenate(parts)


@torch.inference_mode()
def item_weights(model: PersonalizedLM, data: Data, examples: list[dict]) -> list[np.ndarray]:
    """The weight of each of a user's items for the user's own question, *Paper: Eq. 3*: of each example `[N]`."""
    prepared = prepare(model, data, examples)
    batch = collate(model, prepared, for_generation=True)
    weights = model.plug.weights(batch["query"], batch["history"], batch["history_mask"]).float().cpu().numpy()
    return [row[: len(example.history)] for row, example in zip(weights, prepared, strict=True)]


def mean_query(
    model: PersonalizedLM, data: Data, examples: list[dict], like: list[Example] | None = None
) -> list[Example]:
    """Prepare examples so that the embedding depends on the user alone: all are given one and the same input.

    The user embedding depends on the input (*Paper: Eq. 3*); a map of users must not show what they were asked.

    Args:
        model: Tells encoder and tokenizer.
        data: Where the examples' profiles point to.
        examples: Rows of `data.splits[...]`, one for each user.
        like: Earlier examples from this function whose input these are to have too: users on one map must share it.

    Returns:
        The examples; the query of each is the average of the examples' own, at unit length.

    Note:
        An input encoder that is fully trained reads text, and texts have no average: it gets the first example's.
    """
    prepared = prepare(model, data, examples)
    if like is None:
        average = np.mean([example.query.astype(np.float32) for example in prepared], axis=0)
        average = (average / max(np.linalg.norm(average), TINY)).astype(np.float16)
        like = [replace(prepared[0], query=average)]
    return [replace(example, query=like[0].query, query_text=like[0].query_text) for example in prepared]


def few_users(data: Data, examples: list[dict], newest: int = 0) -> tuple[Data, list[dict]]:
    """Cut a task's data down to a few users: `Data.items` lists every item there is, and most are not theirs.

    Args:
        data: Where the examples' profiles point to.
        examples: Rows of `data.splits[...]`.
        newest: How many of a user's items are kept, the newest ones; 0 keeps all.

    Returns:
        `(data, examples)`: the history table without anybody else's items, and the examples pointing into it.
    """
    profiles = [example["profile"][-newest:] for example in examples]
    place = {row: i for i, row in enumerate(sorted({row for profile in profiles for row in profile}))}
    moved = [e | {"profile": [place[row] for row in p]} for e, p in zip(examples, profiles, strict=True)]
    return replace(data, history=data.history.select(list(place))), moved


def with_items(data: Data, least: int, most: int) -> list[dict]:
    """One test question of each of the first users whose histories have at least so many items; `most` users."""
    asked = {row["user_id"]: row for row in data.splits["test"].to_list()}
    return [row for row in asked.values() if len(row["profile"]) >= least][:most]


def manner(data: Data, rows: list[dict]) -> np.ndarray:
    """How each user writes, whatever it is about: `[n, len(HABITS)]`, the mean of `data.style` over the items."""
    texts = data.history_texts(with_label=False)
    return np.array([style([texts[number] for number in row["profile"]]).mean(axis=0) for row in rows])


def mean_history(examples: list[Example]) -> np.ndarray:
    """The average history vector of each user, what there is before any plug: `[n, D] float32`, unit length.

    A user without history gets zeros.
    """
    means = np.stack([e.history.astype(np.float32).sum(axis=0) for e in examples])
    return means / np.linalg.norm(means, axis=1, keepdims=True).clip(TINY)


def true_values(data: Data, examples: list[dict]) -> dict[str, np.ndarray]:
    """The true factors of simulated users: group of inputs, by its whole name → `[n]`, each user's value.

    Empty for real users.
    """
    if data.factors is None:
        return {}
    values = [data.factors[example["user_id"]]["values"] for example in examples]
    return {WHOLE_NAMES.get(group, group): np.array([value[group] for value in values]) for group in values[0]}


def first_words(data: Data, examples: list[dict], most: int = 3) -> np.ndarray:
    """The word each user most often begins with, a stand-in for a factor where the users are real.

    Args:
        data: Where the examples' profiles point to; it is the last of the task's fields that is looked at.
        examples: Rows of `data.splits[...]`, one for each user.
        most: So many words are kept; all others become "other".

    Returns:
        `[n]`, one word each.
    """
    words = []
    for example in examples:
        texts = [data.items[row][data.task.fields[-1]].lower().split() for row in example["profile"]]
        counts = Counter(text[0] for text in texts if text)
        words.append(min(counts, key=lambda word: (-counts[word], word), default=""))
    users = Counter(word for word in words if word)
    kept = sorted(users, key=lambda word: (-users[word], word))[:most]
    return np.array([word if word in kept else "other" for word in words])


def halves(examples: list[Example]) -> tuple[list[Example], list[Example]]:
    """Split each history into its even and its odd items: two samples of one user, alike in time."""
    return tuple([replace(e, history=e.history[start::2]) for e in examples] for start in (0, 1))


def prefixes(example: Example, lengths: list[int]) -> list[Example]:
    """One user at several moments: the oldest `n` items of the history, for each `n` of `lengths`."""
    return [replace(example, history=example.history[:n]) for n in lengths]


# --- from vectors to points ------------------------------------------------------------------------------------------


def fit_umap(vectors: np.ndarray, seed: int = 0, n_neighbors: int = 15):
    """Fit a UMAP map; `.embedding_` holds the points, `.transform` places new users.

    Args:
        vectors: `[n, W] float`, at least 5 users.
        seed: The same seed gives the same map. It costs UMAP its threads.
        n_neighbors: Neighbourhood size; cut to n - 1.

    Raises:
        ValueError: If there are fewer than 5 users; UMAP's own failure on them is hard to read.
    """
    with needing("maps"):
        from umap import UMAP

    if len(vectors) < 5:
        raise ValueError(f"a UMAP map needs at least 5 users, there are {len(vectors)}")
    return UMAP(n_neighbors=min(n_neighbors, len(vectors) - 1), metric="cosine", random_state=seed, n_jobs=1).fit(
        vectors
    )


def fit_pca(vectors: np.ndarray):
    """Fit a two-dimensional PCA; `.transform` gives the points, `.explained_variance_ratio_` what they keep."""
    from sklearn.decomposition import PCA

    return PCA(n_components=2, random_state=0).fit(vectors)
