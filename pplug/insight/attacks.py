"""What a user's vector gives away: four attacks, each with a score for every victim.

The attacker is a strong one: she has the trained plug, the encoder, histories of other users to learn from (`known`),
and knows how vectors were blurred. All vectors are `[n, W]`, one user a row.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pplug.insight.blur import Blur
from pplug.insight.maps import halves
from pplug.method import Example

ATTACKS = ("link", "persona", "membership", "words")
COPIES = 4  # histories the attacker makes of each known user by leaving items out, to learn from more than she has
STRENGTHS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)  # of the ridge penalty, chosen on the known users


# --- four attacks ----------------------------------------------------------------------------------------------------


def link(first: np.ndarray, second: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Find each user's second half by the first: the nearest direction, seen from the middle of all users.

    Args:
        first: `[n, W]`, vectors of one half of each history.
        second: `[n, W]`, of the other half, same order.
        middle: `[W]`, what all users have in common.

    Returns:
        `[n] float`, 1 where the nearest second half is the user's own, shared out among equals; by chance 1/n.
    """
    unit = [_unit(vectors - middle) for vectors in (first, second)]
    similarity = unit[0] @ unit[1].T
    is_best = similarity >= similarity.max(axis=1, keepdims=True) - 1e-6  # noise of rounding must not break ties
    return np.diag(is_best) / is_best.sum(axis=1)


def infer(known: np.ndarray, labels: np.ndarray, vectors: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Guess a label, such as a factor of the persona, by a linear classifier that has learnt it from known users.

    Args:
        known: `[k, W]`.
        labels: `[k]`, of the known users.
        vectors: `[n, W]`, the victims'.
        truth: `[n]`, their labels.

    Returns:
        `[n] float`, 1 for a right guess.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(labels)) < 2:  # a classifier needs two
        return (truth == labels[0]).astype(float)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)).fit(known, labels)
    return (probe.predict(vectors) == truth).astype(float)


def recover(known: np.ndarray, secrets: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Predict numbers that belong to users, such as their average text vector or which words they use.

    Args:
        known: `[k, W]`.
        secrets: `[k, S]`, what is to be found out, of the known users.
        vectors: `[n, W]`, the victims'.

    Returns:
        `[n, S]`: how far each number of each victim lies above what is usual among the known users.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    usual = secrets.mean(axis=0)
    return make_pipeline(StandardScaler(), RidgeCV(STRENGTHS)).fit(known, secrets - usual).predict(vectors)


def membership(found: np.ndarray, inside: list[np.ndarray], outside: list[np.ndarray]) -> np.ndarray:
    """Tell texts of a victim's history from texts of others': those inside should look more like what was found.

    Args:
        found: `[n, D]`, victims' average text vectors less the usual one, from `recover`.
        inside: For each victim, `[m, D]`, vectors of texts in the history.
        outside: For each victim, `[m, D]`, of texts that are not.

    Returns:
        `[n] float`, the `auc` of each victim.
    """
    told = zip(found, inside, outside, strict=True)
    return np.array(
        [auc(np.concatenate([yes, no]) @ f, np.repeat([True, False], [len(yes), len(no)])) for f, yes, no in told]
    )


def auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """How often something true scores above something false, a tie counting half: 1 is perfect, 1/2 is chance.

    Args:
        scores: `[m]`.
        truth: `[m] bool`.

    Returns:
        The share; NaN where all or none are true.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores)) if 0 < truth.sum() < len(truth) else float("nan")


# --- all four on the same users -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Secrets:
    """What the attacker is after.

    Attributes:
        users: n users, all with the same query (`maps.mean_query`) and at least two items.
        labels: Name → `[n]`, e.g. `maps.true_values`.
        words: `[n, words] bool`, from `words_used`.
        outside: For each user, `[m, D]`, vectors of texts that are not in the history; those inside are the history's.
    """

    users: list[Example]
    labels: dict[str, np.ndarray]
    words: np.ndarray
    outside: list[np.ndarray]


def attack(
    secrets: Secrets,
    embed: Callable[[list[Example]], np.ndarray],
    blurs: dict[str, Callable[[np.ndarray], Blur]],
    seed: int = 0,
    shuffled: bool = False,
) -> dict[str, dict[str, np.ndarray]]:
    """Attack every user with what the attacker has learnt from the other half of the users, and the reverse.

    Args:
        secrets: Of all users.
        embed: Users → their vectors, `[n, W]`, e.g. `maps.user_embeddings` of a model.
        blurs: Name → a function that makes a blur, given known users' vectors, e.g. `partial(round_to, 8)`. What the
            attacker learns from is blurred too.
        seed: Of the halves and of what the attacker leaves out.
        shuffled: Whether each victim's vector is given another victim's name: what the attacks find by chance.

    Returns:
        Name of the blur → attack → `[n]`, in the order of the users. `link` is a search among half of the users;
        `persona` is the mean over labels.
    """
    n, rng = len(secrets.users), np.random.default_rng(seed)
    scores = {name: {kind: np.full(n, np.nan) for kind in ATTACKS} for name in blurs}
    order = rng.permutation(n)
    for known, victims in ((order[: n // 2], order[n // 2 :]), (order[n // 2 :], order[: n // 2])):
        people, others = [secrets.users[i] for i in victims], [secrets.users[i] for i in known]
        outside = [secrets.outside[i] for i in victims]
        inside = [person.history.astype(np.float32) for person in people]
        learnt_from = leave_some_out(others, seed)
        sharp, whole, *parts = (embed(some) for some in (learnt_from, people, *halves(people)))
        names = rng.permutation(len(victims)) if shuffled else np.arange(len(victims))
        for name, make in blurs.items():
            blur, found = make(sharp), scores[name]
            learnt, vectors = blur(sharp), blur(whole)[names]
            first, second = (blur(part) for part in parts)
            found["link"][victims] = link(first, second[names], learnt.mean(axis=0))
            complete = learnt[: len(others)]  # of histories from which nothing was left out
            guessed = [infer(complete, label[known], vectors, label[victims]) for label in secrets.labels.values()]
            found["persona"][victims] = np.mean(guessed, axis=0)
            texts = recover(learnt, text_means(learnt_from), vectors)
            found["membership"][victims] = membership(texts, inside, outside)
            words = recover(complete, secrets.words[known].astype(float), vectors)
            found["words"][victims] = [auc(*pair) for pair in zip(words, secrets.words[victims], strict=True)]
    return scores


def other_texts(histories: list[list[str]], vectors: list[np.ndarray], seed: int) -> list[np.ndarray]:
    """Draw, for each user, as many of the other users' texts as the user has, none of which is in the history too.

    Args:
        histories: Each user's texts.
        vectors: Theirs, `[m, D]` each.
        seed: Of the draws.

    Returns:
        `[m, D] float32` for each user; fewer rows where there are not so many other texts.
    """
    rng, text_of = np.random.default_rng(seed), [text for texts in histories for text in texts]
    all_vectors = np.concatenate(vectors)
    drawn = []
    for own in histories:
        mine = set(own)
        others = np.array([i for i, text in enumerate(text_of) if text not in mine], dtype=int)
        drawn.append(all_vectors[rng.permutation(others)[: len(own)]].astype(np.float32))
    return drawn


# --- what the attacker learns from -----------------------------------------------------------------------------------


def leave_some_out(examples: list[Example], seed: int, copies: int = COPIES) -> list[Example]:
    """Make histories to learn from: the examples, and of each `copies` more with a random part of its history.

    Args:
        examples: Of known users.
        seed: Of the draws.
        copies: How many of each.

    Returns:
        `len(examples) * (1 + copies)` examples, none with an empty history unless its user's is.
    """
    rng = np.random.default_rng(seed)
    made = list(examples)
    for example in examples:
        for _ in range(copies):
            keep = rng.random(len(example.history)) < rng.uniform(0.2, 0.8)
            if len(keep):
                keep[rng.integers(len(keep))] = True
            made.append(replace(example, history=example.history[keep]))
    return made


def text_means(examples: list[Example]) -> np.ndarray:
    """The average text vector of each user, `[n, D] float32`; its length, unlike `maps.mean_history`'s, is kept."""
    return np.stack([e.history.astype(np.float32).sum(axis=0) / max(len(e.history), 1) for e in examples])


def words_used(histories: list[list[str]], least: float = 0.1, most: float = 0.9) -> tuple[list[str], np.ndarray]:
    """Which words each user has ever used, of those that neither nearly all nor nearly none have.

    Args:
        histories: Each user's texts.
        least: The smallest share of users a word must have.
        most: The largest.

    Returns:
        The words, sorted, and `[n, words] bool`.
    """
    used = [set(re.findall(r"[^\W\d_]+", " ".join(texts).lower())) for texts in histories]
    share = {word: sum(word in own for own in used) / len(used) for word in set().union(*used)}
    words = sorted(word for word, s in share.items() if least <= s <= most)
    return words, np.array([[word in own for word in words] for own in used], dtype=bool).reshape(len(used), -1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
