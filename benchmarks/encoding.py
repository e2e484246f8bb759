"""History encoding: distinct texts a second against file order, and the bytes that are kept."""

import numpy as np

from benchmarks.released import encode_in_file_order
from benchmarks.shapes import profile_entries
from benchmarks.timing import alternate
from pplug.encoders import encode_texts, load_encoder

SAMPLE = 1500  # distinct texts that are encoded in one repeat


def rows() -> list[dict]:
    """Time both ways of encoding on the same texts, and compare their user vectors and the bytes they store."""
    encoder = load_encoder(device="cpu")
    entries, source = profile_entries()
    distinct = list(dict.fromkeys(entries))
    sample = [distinct[i] for i in np.random.default_rng(0).permutation(len(distinct))[:SAMPLE]]
    kept = {}

    def ours():
        kept["ours"] = encode_texts(encoder, sample, progress=False)

    def plain():
        kept["plain"] = encode_in_file_order(encoder.module, sample)

    seconds = alternate({"plain": plain, "ours": ours})
    users = {name: _user_vectors(vectors) for name, vectors in kept.items()}
    cosines = (users["ours"] * users["plain"]).sum(axis=1)
    released = len(entries) * encoder.width * 4
    stored = len(distinct) * (encoder.width * 2 + 16)
    return [
        {
            "what": "history encoding, distinct texts/s ÷ file order in single precision",
            "goal": "≥ 3",
            "value": seconds["plain"] / seconds["ours"],
            "detail": f"{SAMPLE / seconds['ours']:.0f} against {SAMPLE / seconds['plain']:.0f} texts/s, {source}; "
            f"cosine of user vectors ≥ {cosines.min():.5f}",
        },
        {
            "what": "history store, bytes ÷ one single-precision vector for each (question, item)",
            "goal": "≤ 1/8",
            "value": stored / released,
            "detail": f"{stored / 1e6:.1f} against {released / 1e6:.1f} MB for {len(entries):,} entries, "
            f"{len(distinct):,} distinct texts, {source}",
        },
    ]


def _user_vectors(vectors: np.ndarray, items: int = 15) -> np.ndarray:
    """Means of consecutive rows, as if each `items` texts were one user's; unit length."""
    means = vectors[: len(vectors) // items * items].reshape(-1, items, vectors.shape[1]).mean(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)
