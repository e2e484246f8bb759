"""attacks.py: each attack finds what is there to find by construction, and nothing where nothing is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.insight import attacks
from pplug.insight.blur import keep_all
from pplug.insight.maps import mean_history
from pplug.method.batches import Example

D = 24


def person(texts: np.ndarray) -> Example:
    return Example([1], [2], texts.astype(np.float16), np.ones(D, dtype=np.float16), "same question")


def crowd(n: int, texts: int, habit: float = 1.0, seed: int = 0) -> list[Example]:
    """Users who write around a point of their own, as far from the others' as `habit` says."""
    rng = np.random.default_rng(seed)
    own = habit * rng.normal(size=(n, 1, D))
    drawn = own + rng.normal(size=(n, texts, D))
    return [person(one / np.linalg.norm(one, axis=1, keepdims=True)) for one in drawn]


def raw_mean(examples):
    return attacks.text_means(examples)


# --- one by one


def test_link_finds_equals_and_shares_out_ties():
    one = np.random.default_rng(0).normal(size=(7, 5))
    assert attacks.link(one, one, np.zeros(5)).tolist() == [1.0] * 7
    assert attacks.link(one, np.roll(one, 1, axis=0), np.zeros(5)).sum() == 0
    np.testing.assert_allclose(attacks.link(np.ones((4, 5)), np.ones((4, 5)), np.zeros(5)), 0.25)


def test_link_looks_from_the_middle_of_all_users():
    """What all users have in common must not hide what tells them apart."""
    rng = np.random.default_rng(0)
    one, common = rng.normal(size=(50, 5)), 1e4 * np.ones(5)
    noisy = one + 0.01 * rng.normal(size=one.shape)
    assert attacks.link(one + common, noisy + common, common).mean() == 1


def test_infer_learns_a_label_and_guesses_at_chance_without_one():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 40)
    means = {"a": 0, "b": 4, "c": 8}
    vectors = rng.normal(size=(120, 3)) + np.array([means[label] for label in labels])[:, None]
    known, victims = np.arange(0, 120, 2), np.arange(1, 120, 2)
    assert attacks.infer(vectors[known], labels[known], vectors[victims], labels[victims]).mean() > 0.9
    blind = attacks.infer(rng.normal(size=(60, 3)), labels[known], rng.normal(size=(60, 3)), labels[victims])
    assert 0.1 < blind.mean() < 0.6
    same = attacks.infer(vectors[known], np.repeat("a", 60), vectors[victims], labels[victims])
    assert same.tolist() == (labels[victims] == "a").tolist()  # one label: nothing to learn


def test_recover_finds_a_linear_secret_as_a_deviation_from_what_is_usual():
    rng = np.random.default_rng(0)
    secrets, mixing = rng.normal(loc=5, size=(300, 2)), rng.normal(size=(2, 8))
    found = attacks.recover((secrets @ mixing)[:200], secrets[:200], (secrets @ mixing)[200:])
    np.testing.assert_allclose(found, secrets[200:] - secrets[:200].mean(axis=0), atol=0.05)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=12))
def test_auc_is_the_share_of_pairs_in_the_right_order(drawn):
    scores, truth = np.array([s for s, _ in drawn], dtype=float), np.array([t for _, t in drawn])
    pairs = [(s > t) + (s == t) / 2 for s in scores[truth] for t in scores[~truth]]
    if pairs:
        assert attacks.auc(scores, truth) == pytest.approx(np.mean(pairs))
    else:
        assert np.isnan(attacks.auc(scores, truth))


def test_membership_of_texts_in_a_short_average():
    """Orthogonal texts: an inner product with the average of two is 1/2 inside and 0 outside."""
    axes = np.eye(6)
    found = np.array([axes[:2].mean(axis=0), axes[4:].mean(axis=0)])
    assert attacks.membership(found, [axes[:2], axes[4:]], [axes[2:4]] * 2).tolist() == [1, 1]
    assert attacks.membership(found, [axes[2:4]] * 2, [axes[:2], axes[4:]]).tolist() == [0, 0]


# --- what the attacker learns from


def test_leaving_out_keeps_whole_histories_in_front_and_never_empties_one():
    users = [*crowd(3, 5), person(np.zeros((0, D))), *crowd(1, 1)]
    made = attacks.leave_some_out(users, seed=0, copies=6)
    assert made[:5] == users and len(made) == 5 * 7
    for number, example in enumerate(made[5:]):
        whole = users[number // 6].history
        assert len(example.history) >= min(1, len(whole))
        rows = {row.tobytes() for row in whole}
        assert all(row.tobytes() in rows for row in example.history)
    assert len({len(example.history) for example in made[5:23]}) > 1
    again = attacks.leave_some_out(users, seed=0, copies=6)
    assert all(np.array_equal(a.history, b.history) for a, b in zip(made, again, strict=True))


def test_text_means_keep_their_length():
    half = person(np.eye(D)[:2])
    assert attacks.text_means([half, person(np.zeros((0, D)))])[:, 0].tolist() == [0.5, 0]


def test_words_are_those_that_some_but_not_all_use():
    histories = [["The cat, the CAT!", "1st"], ["the dog"], ["the cat's"], ["the é"]]
    words, used = attacks.words_used(histories, least=0.25, most=0.75)
    assert words == ["cat", "dog", "s", "st", "é"]  # "the" is everybody's
    assert used[:, 0].tolist() == [True, False, True, False]


def test_other_texts_are_as_many_and_never_the_users_own():
    histories = [["a", "b"], ["a", "c", "d"], ["e"]]
    vectors = [np.array([[1.0], [2]]), np.array([[1.0], [3], [4]]), np.array([[5.0]])]
    for seed in range(5):
        drawn = attacks.other_texts(histories, vectors, seed)
        assert [len(one) for one in drawn] == [
            2,
            2,
            1,
        ]
        assert not {1.0, 2.0} & set(drawn[0].ravel()) and not {1.0, 3.0, 4.0} & set(drawn[1].ravel())


# --- all four


@pytest.fixture(scope="module")
def secrets():
    users = crowd(80, 6)
    for number, user in enumerate(users):
        user.history[:, 0] = 0.8 * (-1) ** number
    vectors = raw_mean(users)
    labels = {"sign": np.where(vectors[:, 0] > 0, "up", "down")}
    words = vectors[:, 1:11] > np.median(vectors[:, 1:11], axis=0)
    histories = [[f"{user} {text}" for text in range(6)] for user in range(80)]
    return attacks.Secrets(users, labels, words, attacks.other_texts(histories, [u.history for u in users], 0))


def test_attacks_succeed_on_what_is_in_the_vectors_and_fail_on_shuffled_ones(secrets):
    found = attacks.attack(secrets, raw_mean, {"sharp": keep_all})["sharp"]
    blind = attacks.attack(secrets, raw_mean, {"sharp": keep_all}, shuffled=True)["sharp"]
    assert set(found) == set(attacks.ATTACKS) and all(np.isfinite(score).all() for score in found.values())
    means = {name: (found[name].mean(), blind[name].mean()) for name in found}
    assert means["link"][0] > 0.9 and means["link"][1] < 0.1
    assert means["persona"][0] > 0.8 and 0.25 < means["persona"][1] < 0.75
    assert means["membership"][0] > 0.95 and 0.35 < means["membership"][1] < 0.65
    assert means["words"][0] > 0.8 and 0.4 < means["words"][1] < 0.6


def test_vectors_that_say_nothing_give_nothing_away(secrets):
    rng = np.random.default_rng(0)
    found = attacks.attack(secrets, lambda users: rng.normal(size=(len(users), D)), {"sharp": keep_all})["sharp"]
    assert found["link"].mean() < 0.1 and 0.35 < found["membership"].mean() < 0.65
    assert 0.25 < found["persona"].mean() < 0.75 and 0.4 < found["words"].mean() < 0.6


def test_the_longer_the_history_the_better_a_text_hides():
    """1/n of an average: users without habits, so that nothing but the text's own share can tell."""
    told = []
    for texts in (2, 8, 64):
        users = crowd(40, texts, habit=0, seed=texts)
        rng = np.random.default_rng(1)
        outside = [crowd(1, texts, habit=0, seed=int(rng.integers(1 << 30)))[0].history for _ in users]
        inside = [user.history.astype(float) for user in users]
        told.append(attacks.membership(raw_mean(users), inside, outside).mean())
    assert told[0] > 0.95 and told[0] > told[1] > told[2] > 0.5


def test_the_attacker_knows_the_blur(secrets):
    """A rotation looks different and hides nothing."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(D, D)))[0]
    blurs = {"sharp": keep_all, "turned": lambda like: lambda vectors: vectors @ turn}
    found = attacks.attack(secrets, mean_history, blurs)
    for name in ("link", "membership"):
        assert abs(found["sharp"][name].mean() - found["turned"][name].mean()) < 0.05
