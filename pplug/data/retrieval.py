"""Personalisation by retrieval: which history items go into the prompt as text, and how they fit into its tokens.

Every ranking here returns positions in the history, the best first; ties keep the later item first.
"""

import logging
import random
import re
from collections.abc import Iterator

import numpy as np

from pplug.base import needing
from pplug.data.loading import Data
from pplug.data.tasks import history_text, query_text

RETRIEVERS = ("random", "recency", "BM25", "dense")
BM25_WORD = re.compile(r"\w+")  # the default tokeniser: lower-cased words; there is no list of stop words


def rank_by_words(query: str, texts: list[str]) -> list[int]:
    """Rank texts by the words they share with a query (TF-IDF cosine): what the stand-in was taught with.

    Args:
        query: The query text.
        texts: The user's history texts, oldest first.

    Returns:
        The texts' positions, most similar first; empty for an empty history.
    """
    if not any(text.strip() for text in texts):  # without words TF-IDF refuses: all are equally similar
        return newest_first(len(texts))
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(token_pattern=r"\S+").fit_transform([*texts, query])
    return best_first((vectors[:-1] @ vectors[-1].T).toarray()[:, 0])


def rank_by_bm25(query: str, texts: list[str], as_lamp: bool = False) -> list[int]:
    """Rank texts by BM25.

    Args:
        query: The query text.
        texts: The user's history texts, oldest first.
        as_lamp: Score as LaMP's own code does: rank_bm25's Okapi formula on words split at white space, case kept.

    Returns:
        The texts' positions, best first; empty for an empty history.

    Note:
        Okapi's inverse document frequency is negative for a word that more than half of the items hold, which on
        histories of two or three items turns rankings around. The default is Lucene's, which is never negative.
    """
    words = [text.split() if as_lamp else BM25_WORD.findall(text.lower()) for text in [*texts, query]]
    *said, asked = words
    if not any(said):
        return newest_first(len(texts))
    if as_lamp:
        with needing("rivals"):
            from rank_bm25 import BM25Okapi

        return best_first(BM25Okapi(said).get_scores(asked))
    with needing("rivals"):
        from bm25s import BM25

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # importing it sets DEBUG
    index = BM25(method="lucene")
    index.index(said, show_progress=False)
    return best_first(index.get_scores(asked)) if asked else newest_first(len(texts))


def rank_by_vectors(query: np.ndarray, vectors: np.ndarray) -> list[int]:
    """Rank items by the dot product of their vectors, `[N, D]`, with the query's, `[D]`."""
    return best_first(vectors.astype(np.float32) @ query.astype(np.float32))


def newest_first(n: int) -> list[int]:
    """The ranking that knows only the order of time."""
    return list(range(n))[::-1]


def best_first(scores: np.ndarray) -> list[int]:
    """Positions by falling score; of equal ones the later first."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], -i))


def retrieve(how: str, data: Data, examples: list[dict], prepared: list, seed: int = 0) -> Iterator[list[int]]:
    """Rank each example's history, one example after the other.

    Args:
        how: One of `RETRIEVERS`, or `"BM25 as LaMP"`.
        data: The task's data.
        examples: The questions, from `data.splits`.
        prepared: The same, prepared: *dense* compares `query` and `history` of these.
        seed: Of *random*.

    Yields:
        For each example, rows of `data.items`, the best first. *dense* ranks those that have vectors: where only the
        newest items were prepared (`PlugConfig.max_history`), the others are not among them.

    Raises:
        ValueError: There is no such way to retrieve.
    """
    if how not in (*RETRIEVERS, "BM25 as LaMP"):
        raise ValueError(f"unknown retriever {how!r}: expected one of {', '.join(RETRIEVERS)}, BM25 as LaMP")
    for example, ready in zip(examples, prepared, strict=True):
        rows = example["profile"]
        if how == "random":
            order = random.Random(f"{seed}/{example['id']}").sample(range(len(rows)), len(rows))
        elif how == "recency":
            order = newest_first(len(rows))
        elif how == "dense":
            older = len(rows) - len(ready.history)
            order = [older + i for i in rank_by_vectors(ready.query, ready.history)]
        else:
            texts = [history_text(data.task, data.items[row]) for row in rows]
            order = rank_by_bm25(query_text(data.task, example["input"]), texts, how == "BM25 as LaMP")
        yield [rows[i] for i in order]
