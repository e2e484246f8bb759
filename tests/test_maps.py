"""maps.py: vectors are those of the plug, points are where they must be on users made for it."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from clusters import clusters, noise
from datasets import Dataset
from torch import nn

from pplug.data.loading import Data, load
from pplug.data.style import style
from pplug.data.tasks import get_task
from pplug.insight import maps, probes
from pplug.method.batches import Example
from pplug.method.embedder import Plug
from pplug.method.plug_config import PlugConfig
from pplug.offline.simulate import simulate

D, H = 6, 8  # encoder and LLM width


def user(n_items: int, seed: int = 0, query=None) -> Example:
    vectors = np.random.default_rng(seed).normal(size=(n_items + 1, D))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = vectors[-1] if query is None else query
    return Example([3, 4], [], vectors[:n_items].astype(np.float16), query.astype(np.float16), f"query {seed}")


class Model(nn.Module):
    """As much of a `PersonalizedLM` as a user embedding needs."""

    def __init__(self, **choices):
        super().__init__()
        torch.manual_seed(0)
        self.plug = Plug(PlugConfig(encoder_width=D, llm_width=H, embedding_norm=1.0, **choices)).eval()
        self.llm = type("LLM", (), {"device": torch.device("cpu")})
        self.tokenizer = type("Tokenizer", (), {"pad_token_id": 0})
        self.is_encoder_decoder = True


# --- from users to vectors


def test_embeddings_are_those_of_the_plug_one_by_one():
    model = Model(soft_tokens=2)
    users = [user(n, seed=n) for n in (3, 1, 5)]
    vectors = maps.user_embeddings(model, users, batch_size=2)
    assert vectors.shape == (3, 2 * H)
    assert vectors.dtype == np.float32
    for vector, example in zip(vectors, users, strict=True):
        x, h = (torch.from_numpy(v.astype(np.float32)) for v in (example.query, example.history))
        x = nn.functional.normalize(x, dim=0)
        w = torch.softmax(h @ x, dim=0)  # Eq. 3; the input encoder starts as the identity
        expected = (w[:, None] * model.plug.projector(h)).sum(0).view(2, H)  # Eq. 4
        expected = expected / expected.norm(dim=-1, keepdim=True)
        np.testing.assert_allclose(vector, expected.detach().flatten(), atol=1e-6)


@pytest.mark.fault(14)
@pytest.mark.parametrize("choices", [{}, {"soft_tokens": 3}, {"pooling": "mean"}, {"instruction": False}])
@pytest.mark.parametrize("normalise", [True, False])
def test_a_map_shows_what_the_llm_is_given(normalise, choices):
    model = Model(normalise=normalise, **choices)
    model.plug.no_history.data.mul_(1e-4)  # shorter than what normalising brings to full length
    users = [user(n, seed=n) for n in (3, 1, 5, 0)]
    batch = maps.collate(model, users, for_generation=True)
    given = model.plug(batch["query"], batch["history"], batch["history_mask"])[:, int(model.plug.config.instruction) :]
    expected = given.detach().flatten(1) / model.plug.config.embedding_norm
    np.testing.assert_allclose(maps.user_embeddings(model, users), expected, rtol=1e-5, atol=1e-7)


def test_of_a_crowd_plug_the_map_shows_what_users_add_to_everyones_tokens():
    model = Model(crowd=True, pooling="mean", soft_tokens=2)
    torch.nn.init.normal_(model.plug.projector.last.weight)
    users = [user(n, seed=n) for n in (3, 1, 5)]
    batch = maps.collate(model, users, for_generation=True)
    given = model.plug(batch["query"], batch["history"], batch["history_mask"])[:, int(model.plug.config.instruction) :]
    added = given / model.plug.config.embedding_norm - model.plug.normalised(model.plug.crowd())
    np.testing.assert_allclose(maps.user_embeddings(model, users), added.detach().flatten(1), atol=1e-6)


@pytest.mark.fault(14)
def test_users_whose_embeddings_differ_in_length_alone_are_told_apart_where_the_llm_can():
    def seen(normalise):
        model = Model(normalise=normalise, pooling="mean")
        model.plug.projector.out.bias.data.zero_()
        features = {1: torch.ones(H), 2: 3 * torch.ones(H)}  # of a user of one item and of one of two
        model.plug.projector.features = lambda rows: torch.stack([features[len(rows)]] * len(rows))
        return np.concatenate([maps.user_embeddings(model, [user(n)]) for n in (1, 2)])

    np.testing.assert_allclose(seen(True)[0], seen(True)[1], rtol=1e-5)
    np.testing.assert_allclose(3 * seen(False)[0], seen(False)[1], rtol=1e-5)


def test_a_plug_without_user_embedding_has_nothing_to_map():
    with pytest.raises(ValueError, match="no user embedding"):
        maps.user_embeddings(Model(user=False), [user(2)])


def test_embeddings_do_not_depend_on_the_company():
    users = [user(n, seed=n) for n in (3, 1, 0, 5)]
    together = maps.user_embeddings(Model(), users)
    np.testing.assert_allclose(together, np.concatenate([maps.user_embeddings(Model(), [u]) for u in users]), atol=1e-6)


def test_no_history_and_no_users():
    assert np.isfinite(maps.user_embeddings(Model(), [user(0), user(2)])).all()
    assert maps.user_embeddings(Model(soft_tokens=3), []).shape == (0, 3 * H)


def test_embedding_depends_on_the_input_unless_it_is_held_fixed(monkeypatch):
    history = user(4).history
    rows = [Example([3], [], history, user(0, seed=s).query, f"query {s}") for s in (1, 2)]
    other = [Example([3], [], history, user(0, seed=s).query, f"query {s}") for s in (7, 8)]
    monkeypatch.setattr(maps, "prepare", lambda model, data, examples: examples)
    model = Model()
    apart = maps.user_embeddings(model, rows)
    assert np.abs(apart[0] - apart[1]).max() > 1e-3

    held = maps.mean_query(model, None, rows)
    assert [e.query_text for e in held] == ["query 1"] * 2
    np.testing.assert_array_equal(*[e.query for e in held])
    assert np.linalg.norm(held[0].query.astype(float)) == pytest.approx(1, abs=1e-3)
    direction = sum(e.query.astype(float) for e in rows)
    assert held[0].query.astype(float) @ direction == pytest.approx(np.linalg.norm(direction), abs=1e-2)
    np.testing.assert_allclose(*maps.user_embeddings(model, held), atol=1e-6)

    later = maps.mean_query(model, None, other, like=held)
    np.testing.assert_array_equal(later[1].query, held[0].query)
    assert later[1].query_text == held[0].query_text
    assert rows[0].query_text == "query 1", "the examples given are left as they were"


def test_the_weights_of_a_users_items_are_those_of_equation_3(monkeypatch):
    monkeypatch.setattr(maps, "prepare", lambda model, data, examples: examples)
    users = [user(n, seed=n) for n in (3, 1, 5)]
    for weights, example in zip(maps.item_weights(Model(), None, users), users, strict=True):
        x, h = (torch.from_numpy(v.astype(np.float32)) for v in (example.query, example.history))
        expected = torch.softmax(h @ nn.functional.normalize(x, dim=0), dim=0)
        np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_mean_history():
    users = [user(3, seed=1), user(0)]
    means = maps.mean_history(users)
    expected = users[0].history.astype(np.float32).mean(axis=0)
    np.testing.assert_allclose(means[0], expected / np.linalg.norm(expected), atol=1e-6)
    np.testing.assert_array_equal(means[1], np.zeros(D))


def test_few_users_bring_their_items_alone(tmp_path):
    data = load(simulate(tmp_path, "LaMP-4", 4, seed=0), "LaMP-4")
    rows = data.splits["test"].to_list()[1:3]
    few, examples = maps.few_users(data, rows, newest=3)
    assert len(few.items) <= 6
    for row, example in zip(rows, examples, strict=True):
        assert [few.items[i] for i in example["profile"]] == [data.items[i] for i in row["profile"][-3:]]
        assert example["input"] == row["input"]
    assert maps.few_users(data, rows, newest=0)[1][0].keys() == rows[0].keys()
    assert [few.items[i] for i in examples[0]["profile"]] != [few.items[i] for i in examples[1]["profile"]]
    whole, examples = maps.few_users(data, rows)
    assert [len(example["profile"]) for example in examples] == [len(row["profile"]) for row in rows]
    assert max(max(example["profile"]) for example in examples) == len(whole.items) - 1


def test_true_values(tmp_path):
    data = load(simulate(tmp_path, "LaMP-4", 4, seed=0), "LaMP-4")
    rows = data.splits["test"].to_list()[1:]
    values = maps.true_values(data, rows)
    assert set(values) == {"hard news", "soft news"}, "by their whole names"
    assert values["soft news"].tolist() == [data.factors[row["user_id"]]["values"]["soft"] for row in rows]
    assert maps.true_values(replace(data, factors=None), rows) == {}


def test_users_with_enough_items_and_their_manner(tmp_path):
    data = load(simulate(tmp_path, "LaMP-4", 8, seed=0), "LaMP-4")
    questions = data.splits["test"].to_list()
    least = sorted(len(row["profile"]) for row in questions)[3]
    chosen = maps.with_items(data, least, 2)
    assert len(chosen) == 2 and all(len(row["profile"]) >= least for row in chosen)
    assert len(maps.with_items(data, 0, 100)) == len({row["user_id"] for row in questions})
    texts = data.history_texts(with_label=False)
    of_one = style([texts[number] for number in chosen[1]["profile"]]).mean(axis=0)
    assert np.allclose(maps.manner(data, chosen)[1], of_one)


def test_first_words():
    titles = ["Why now?", "why not", "Five things", "", "Five more", "Breaking: it"]
    data = Data(get_task("LaMP-4"), Dataset.from_list([{"text": "", "title": title} for title in titles]), {}, "")
    profiles = [[0, 1, 2], [2, 4, 1], [0], [3], [], [5], [2]]
    words = maps.first_words(data, [{"profile": profile} for profile in profiles], most=2)
    assert words.tolist() == ["why", "five", "why", "other", "other", "other", "five"]


def test_halves_share_the_history():
    whole = [user(5), user(1), user(0)]
    even, odd = maps.halves(whole)
    assert [len(e.history) for e in even] == [3, 1, 0]
    assert [len(e.history) for e in odd] == [2, 0, 0]
    np.testing.assert_array_equal(even[0].history, whole[0].history[[0, 2, 4]])
    np.testing.assert_array_equal(odd[0].history, whole[0].history[[1, 3]])
    np.testing.assert_array_equal(odd[0].query, whole[0].query)


def test_prefixes_are_the_oldest_items():
    whole = user(5)
    short = maps.prefixes(whole, [1, 3, 5, 9])
    assert [len(e.history) for e in short] == [1, 3, 5, 5]
    np.testing.assert_array_equal(short[1].history, whole.history[:3])


# --- from vectors to points


@pytest.fixture(scope="module")
def umap_clusters():
    """UMAP compiles for some seconds in each process: once is enough."""
    vectors, labels = clusters()
    return vectors, labels, maps.fit_umap(vectors, seed=0)


@pytest.mark.long  # UMAP is compiled in each process
def test_umap_keeps_clusters_and_places_newcomers(umap_clusters):
    vectors, labels, umap = umap_clusters
    assert umap.embedding_.shape == (60, 2)
    assert probes.silhouette(umap.embedding_, labels) > 0.8
    assert probes.trust(vectors, umap.embedding_) > 0.85
    new, new_labels = clusters(n=9, seed=5)
    placed = umap.transform(new)
    assert probes.neighbour_hits(umap.embedding_, labels, placed, new_labels, metric="euclidean").mean() == 1


@pytest.mark.long
def test_umap_is_reproducible(umap_clusters):
    vectors, _, umap = umap_clusters
    np.testing.assert_array_equal(maps.fit_umap(vectors, seed=0).embedding_, umap.embedding_)
    assert np.abs(maps.fit_umap(vectors, seed=1).embedding_ - umap.embedding_).max() > 0.1


@pytest.mark.long
def test_umap_of_few_users():
    assert maps.fit_umap(noise(5)).embedding_.shape == (5, 2)
    with pytest.raises(ValueError, match="at least 5 users, there are 4"):
        maps.fit_umap(noise(4))


def test_pca_finds_the_plane_that_holds_everything():
    plane = noise(40, width=2) @ noise(2, width=8)
    pca = maps.fit_pca(plane)
    assert pca.explained_variance_ratio_.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(pca.transform(plane), axis=0), axis=1),
        np.linalg.norm(np.diff(plane, axis=0), axis=1),
        rtol=1e-4,
    )


def test_halves_of_like_users_find_each_other():
    rng = random.Random(0)
    users = []
    for seed in range(8):
        whole = user(1, seed)
        users.append(replace(whole, history=np.repeat(whole.history, 4 + rng.randrange(3), axis=0)))
    even, odd = (maps.user_embeddings(Model(), half) for half in maps.halves(users))
    assert probes.retrieval_rate(even, odd) == (1, 1)
