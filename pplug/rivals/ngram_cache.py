"""A cache of a user's own words beside the LLM: the oldest way to personalise a language model, without any training.

    p(t) = (1 - λ) p_LLM(t | all before) + λ p_user(t | the token before)      p_user: counts in the user's own texts

What it gains is vocabulary: words, names and marks that the user has used before.
"""

from collections import Counter

import numpy as np

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)  # λ that are compared on dev


class NgramCache:
    """Counts of a user's tokens and of pairs of them.

    Args:
        texts: Token ids of each of the user's texts, end token included.
    """

    def __init__(self, texts: list[list[int]]):
        self.single = Counter(token for text in texts for token in text)
        self.pairs = Counter(pair for text in texts for pair in zip([None, *text], text, strict=False))
        self.firsts = Counter(first for text in texts for first in [None, *text[:-1]])

    def likelihood(self, target: list[int]) -> np.ndarray:
        """`p_user` of each token of a text: `[tokens] float64`; 0 where there are no texts to count in.

        Half of it is a token's share of all tokens; the other half, its share behind the token before, or the same
        again where that one is not known.
        """
        every = max(1, self.single.total())
        alone = np.array([self.single[token] / every for token in target])
        behind = [
            self.pairs[first, token] / self.firsts[first] if self.firsts[first] else share
            for first, token, share in zip([None, *target], target, alone, strict=False)
        ]
        return (alone + behind) / 2


def with_cache(nats: np.ndarray, cached: np.ndarray, share: float) -> float:
    """The nats of a text under the mixture.

    Args:
        nats: `[tokens]`, of each token under the LLM.
        cached: `[tokens]`, `NgramCache.likelihood`; all 0 without texts, and then the LLM's nats count.
        share: λ.

    Returns:
        Nats of the whole text.
    """
    if not cached.any():
        return float(nats.sum())
    return float(-np.log((1 - share) * np.exp(-nats) + share * cached).sum())


def best_share(nats: list[np.ndarray], cached: list[np.ndarray]) -> float:
    """The λ of `SHARES` under which texts of dev are likeliest."""
    return min(SHARES, key=lambda share: sum(with_cache(*pair, share) for pair in zip(nats, cached, strict=True)))
