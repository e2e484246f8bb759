"""Numbers behind a map of users: does the embedding say a factor, does the map show what the embedding says?

All vectors are `[n, W]`, one user a row; points are `[n, 2]`, the same users on a map. Distances between vectors are
cosine distances, distances between points are Euclidean.
"""

import numpy as np

TIE = 1e-6  # similarities closer than this are one and the same: float32 noise must not decide a rank

# --- does the embedding say it? --------------------------------------------------------------------------------------


def probe_hits(vectors: np.ndarray, labels, folds: int = 5) -> np.ndarray:
    """Which users' label a linear classifier gets right that was trained on other users, by cross-validation.

    Args:
        vectors: `[n, W] float`.
        labels: `[n]`, one category each.
        folds: Of the cross-validation; fewer where a label has fewer users.

    Returns:
        `[n] float`, 1 for a hit and 0 for a miss; all NaN if a label has one user only, or if there is one label.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.asarray(labels)
    counts = np.unique(labels, return_counts=True)[1]
    folds = int(min(folds, counts.min()))
    if folds < 2 or len(counts) < 2:
        return np.full(len(labels), np.nan)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    return (cross_val_predict(probe, vectors, labels, cv=split) == labels).astype(float)


def probe_accuracy(vectors: np.ndarray, labels, folds: int = 5) -> float:
    """The mean of `probe_hits`: how well the embedding *says* a factor, in all its dimensions."""
    return float(probe_hits(vectors, labels, folds).mean())


def majority_share(labels, of=None) -> float:
    """The accuracy of always guessing the most frequent label: what a probe has to beat.

    Args:
        labels: `[n]`, in which the most frequent label is looked up.
        of: `[m]`, the labels that are guessed; `labels` itself if None.
    """
    values, counts = np.unique(labels, return_counts=True)
    return float(np.mean(np.asarray(labels if of is None else of) == values[counts.argmax()]))


def neighbour_hits(known: np.ndarray, labels, new: np.ndarray, new_labels, k: int = 5, metric: str = "cosine"):
    """Which new users' label is right when their `k` nearest known users vote on it.

    Args:
        known: `[n, W] float`, vectors (or points) of users with labels.
        labels: `[n]`, theirs.
        new: `[m, W] float`.
        new_labels: `[m]`, the truth.
        k: Number of votes; cut to n.
        metric: `cosine` for vectors, `euclidean` for points.

    Returns:
        `[m] float`, 1 for a hit and 0 for a miss.
    """
    from sklearn.neighbors import KNeighborsClassifier

    voters = KNeighborsClassifier(min(k, len(known)), metric=metric, algorithm="brute").fit(known, np.asarray(labels))
    return (voters.predict(new) == np.asarray(new_labels)).astype(float)


def silhouette(points: np.ndarray, labels, metric: str = "euclidean") -> float:
    """How much closer points of one label are to each other than to the nearest other label's.

    Args:
        points: `[n, ...] float`, points, or vectors with `metric="cosine"`.
        labels: `[n]`, one category each.
        metric: Of the distances.

    Returns:
        Between -1 and 1, 0 is no structure; NaN where there is one label, or every user has an own one.
    """
    from sklearn.metrics import silhouette_score

    n_labels = len(np.unique(labels))
    return float(silhouette_score(points, labels, metric=metric)) if 1 < n_labels < len(labels) else float("nan")


# --- does the map show it? -------------------------------------------------------------------------------------------


def trust(vectors: np.ndarray, points: np.ndarray, n_neighbors: int = 10) -> float:
    """Trustworthiness of a map: 1 if neighbours on the map are neighbours in the full space, about 0.5 by chance.

    Args:
        vectors: `[n, W] float`.
        points: `[n, 2] float`.
        n_neighbors: How many neighbours are looked at; cut to fewer than n / 2.

    Returns:
        The share, or NaN for fewer than 4 users.
    """
    from sklearn.manifold import trustworthiness

    n_neighbors = min(n_neighbors, (len(vectors) - 1) // 2)
    if n_neighbors < 1:
        return float("nan")
    return float(trustworthiness(vectors, points, n_neighbors=n_neighbors, metric="cosine"))


def neighbour_overlap(first: np.ndarray, second: np.ndarray, k: int = 10, metric: str = "euclidean") -> float:
    """The share of a user's `k` nearest users that two maps (or spaces) agree on; by chance about k / (n - 1).

    Blind to all that has no meaning on a map: position, orientation, scale.

    Args:
        first: `[n, ...] float`.
        second: `[n, ...] float`, the same users.
        k: Neighbourhood size; cut to n - 1.
        metric: `euclidean` for points, `cosine` for vectors.
    """
    from sklearn.neighbors import NearestNeighbors

    k = min(k, len(first) - 1)
    # Without an argument, `kneighbors` leaves a user out of its own neighbourhood.
    near = [
        NearestNeighbors(n_neighbors=k, metric=metric).fit(x).kneighbors(return_distance=False) for x in (first, second)
    ]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(*near, strict=True)]))


def retrieval_rate(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """How often a user's nearest vector in the other half is the user's own.

    Args:
        first: `[n, W]`, vectors of the users' first halves.
        second: `[n, W]`, of the second halves, same order.

    Returns:
        `(share of users found at rank 1, mean reciprocal rank)`; by chance 1/n and about ln(n)/n. Equal similarities
        count as broken at random: a plug that gives every user one and the same vector retrieves at chance.
    """
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True).clip(TIE) for v in (first, second)]
    similarity = unit[0].astype(float) @ unit[1].T.astype(float)
    own = np.diag(similarity)[:, None]
    closer = (similarity > own + TIE).sum(axis=1)
    tied = (np.abs(similarity - own) <= TIE).sum(axis=1)  # the user's own vector among them
    reciprocal = [np.mean(1 / np.arange(c + 1, c + t + 1)) for c, t in zip(closer, tied, strict=True)]
    return float(np.mean((closer == 0) / tied)), float(np.mean(reciprocal))
