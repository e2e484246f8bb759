"""probes.py: every number has the value it must have on users that were made to have it."""

import numpy as np
import pytest
from clusters import clusters, noise

from pplug.insight import maps, probes

# --- does the embedding say it?


def test_probe_reads_what_is_there_and_nothing_else():
    vectors, labels = clusters(n=90)
    assert probes.probe_accuracy(vectors, labels) == 1
    shuffled = np.random.default_rng(0).permutation(labels)
    assert probes.probe_accuracy(vectors, shuffled) == pytest.approx(1 / 3, abs=0.15)
    assert set(probes.probe_hits(vectors, shuffled)) == {0.0, 1.0}


def test_probe_reads_a_direction_that_no_map_shows():
    vectors = noise(200, width=50)
    labels = np.where(vectors[:, 7] > 0, "up", "down")  # one of fifty equal directions
    assert probes.probe_accuracy(vectors, labels) > 0.75
    assert abs(probes.silhouette(maps.fit_pca(vectors).transform(vectors), labels)) < 0.1


def test_probe_without_a_question():
    assert np.isnan(probes.probe_accuracy(noise(6), ["a"] * 5 + ["b"])), "one user of b: nothing to train on"
    assert np.isnan(probes.probe_accuracy(noise(6), ["a"] * 6))
    assert probes.probe_hits(noise(5), list("aabbb")).shape == (5,), "as many folds as there are"


def test_majority():
    assert probes.majority_share(list("aabac")) == 0.6
    assert probes.majority_share(list("aabac"), of=list("bbba")) == 0.25


def test_neighbours_vote():
    vectors, labels = clusters()
    new, truth = clusters(n=12, seed=9)
    assert probes.neighbour_hits(vectors, labels, new, truth).mean() == 1
    assert probes.neighbour_hits(vectors, labels, new, (truth + 1) % 3).mean() == 0
    assert probes.neighbour_hits(vectors[:2], labels[:2], new, truth, k=50).shape == (12,)


def test_silhouette_by_hand():
    points = np.array([[0, 0], [0, 1], [3, 0], [3, 1]])
    b = (3 + np.sqrt(10)) / 2  # mean distance to the other pair; within the pair it is 1
    assert probes.silhouette(points, list("xxyy")) == pytest.approx((b - 1) / b)


def test_silhouette_of_clusters_and_of_chance():
    vectors, labels = clusters(n=90)
    shuffled = np.random.default_rng(0).permutation(labels)
    for metric in ("euclidean", "cosine"):
        assert probes.silhouette(vectors, labels, metric) > 0.8
        assert probes.silhouette(vectors, shuffled, metric) == pytest.approx(0, abs=0.1)
        assert probes.silhouette(noise(90), labels, metric) == pytest.approx(0, abs=0.05)
    assert np.isnan(probes.silhouette(vectors, ["one"] * 90))
    assert np.isnan(probes.silhouette(vectors, range(90)))


# --- does the map show it?


def test_trust():
    angle = np.linspace(0, 1.5, 60)
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # unit length: both distances have the same order
    assert probes.trust(vectors, vectors) == 1
    assert probes.trust(vectors, 5 - 2 * vectors) == 1, "moved, turned and stretched: still the same map"
    assert probes.trust(vectors, np.random.default_rng(0).permutation(vectors)) == pytest.approx(0.5, abs=0.1)
    assert np.isfinite(probes.trust(vectors[:3], vectors[:3]))
    assert np.isnan(probes.trust(vectors[:2], vectors[:2]))


def test_neighbour_overlap():
    points = noise(100, width=2)
    turned = points @ np.array([[0.0, -1.0], [1.0, 0.0]]) * 3 + 7
    assert probes.neighbour_overlap(points, turned) == 1
    assert probes.neighbour_overlap(points, noise(100, width=2, seed=2)) == pytest.approx(10 / 99, abs=0.05)
    assert probes.neighbour_overlap(points[:3], turned[:3], k=10) == 1, "all users are neighbours"


def test_retrieval_of_oneself():
    vectors = noise(50)
    assert probes.retrieval_rate(vectors, vectors) == (1, 1)
    assert probes.retrieval_rate(vectors, 3 * vectors) == (1, 1), "by direction"
    worst = probes.retrieval_rate(vectors, -vectors)
    assert worst[0] == 0
    assert worst[1] == pytest.approx(1 / 50)


def test_retrieval_at_chance():
    n = 50
    harmonic = sum(1 / i for i in range(1, n + 1)) / n
    same = np.ones((n, 4), dtype=np.float32)
    assert probes.retrieval_rate(same, same) == pytest.approx((1 / n, harmonic)), (
        "one vector for all tells nobody apart"
    )
    nothing = np.zeros((n, 4), dtype=np.float32)
    assert probes.retrieval_rate(nothing, nothing) == pytest.approx((1 / n, harmonic))
    rates = [probes.retrieval_rate(noise(n, seed=s), noise(n, seed=s + 100)) for s in range(20)]
    np.testing.assert_allclose(np.mean(rates, axis=0), (1 / n, harmonic), atol=0.02)


def test_retrieval_counts_users_by_rank():
    first = np.eye(3)
    second = np.array([[1.0, 0, 0], [0, 0.1, 1], [0, 0, 1]])
    assert probes.retrieval_rate(first, second) == (1.0, 1.0)  # the second user's own is weak, but no other comes near
    second[2] = [0, 1, 0.5]
    rate, reciprocal = probes.retrieval_rate(first, second)
    assert (rate, reciprocal) == pytest.approx((1 / 3, (1 + 1 / 2 + 1 / 2) / 3))
