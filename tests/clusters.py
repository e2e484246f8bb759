"""Users whose structure is known: around a few directions, or none at all."""

import numpy as np


def clusters(n: int = 60, groups: int = 3, spread: float = 0.05, width: int = 8, seed: int = 0):
    """Users around `groups` orthogonal directions, and the direction of each."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % groups
    return (np.eye(width)[labels] + spread * rng.normal(size=(n, width))).astype(np.float32), labels


def noise(n: int = 60, width: int = 8, seed: int = 1):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
