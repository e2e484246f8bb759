"""The cache of a user's own words: a likelihood, mixed with the LLM's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pplug.rivals.ngram_cache import SHARES, NgramCache, best_share, with_cache

TEXTS = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), max_size=5)


@given(TEXTS, st.one_of(st.none(), st.integers(0, 5)))
def test_it_is_a_likelihood_of_the_next_token(texts, first):
    cache = NgramCache(texts)
    behind = [] if first is None else [first]
    total = sum(cache.likelihood([*behind, token])[-1] for token in range(6))
    assert total == pytest.approx(1.0 if texts else 0.0)


def test_half_counts_tokens_and_half_counts_pairs():
    cache = NgramCache([[1, 2], [1, 3], [4, 1]])
    assert cache.likelihood([1])[0] == pytest.approx((3 / 6 + 2 / 3) / 2)
    assert cache.likelihood([1, 2])[1] == pytest.approx((1 / 6 + 1 / 2) / 2)
    assert cache.likelihood([9, 2])[1] == pytest.approx(1 / 6), "what stands behind an unknown token is not known"


def test_without_texts_the_llm_is_as_it_was():
    nats = np.array([1.0, 2.0])
    assert with_cache(nats, NgramCache([]).likelihood([5, 6]), 0.2) == 3.0


def test_a_likely_word_costs_less_and_an_unknown_one_more():
    nats = np.array([3.0])
    assert with_cache(nats, np.array([0.5]), 0.1) == pytest.approx(-np.log(0.9 * np.exp(-3) + 0.05))
    both = with_cache(np.array([3.0, 3.0]), np.array([0.5, 0.0]), 0.1)
    assert both == pytest.approx(with_cache(nats, np.array([0.5]), 0.1) + 3.0 - np.log(0.9))


def test_the_share_is_the_best_on_dev():
    nats = [np.array([4.0])]
    assert best_share(nats, [np.array([0.9])]) == max(SHARES)
    assert best_share([np.array([0.1, 4.0])], [np.array([0.0, 1e-4])]) == min(SHARES)
