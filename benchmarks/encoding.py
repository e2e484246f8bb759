"""History encoding: distinct texts a second against file order, and the bytes that are kept."""

import numpy as np

from benchmarks.released import encode_in_file_order
from benchmarks.shapes import profile_entries
from benchmarks.timing import alternate
from pplug.method.encoders import encode_texts, load_encoder

SAMPLE = 1500  # distinct texts that are encoded in one repeat
LAMP_4_PAIRS = round((12_500 + 1_500) * 204.6)  # the paper's counts: questions, times the mean length of a history
NEWS_CORPUS = 210_294  # articles in the News Category Dataset (says its paper), of which LaMP-4 is made


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
    told = f"{source}; cosine of user vectors ≥ {cosines.min():.5f}"
    return [
        {
            "what": "history encoding, distinct texts/s ÷ file order in single precision",
            "goal": "≥ 3",
            "value": seconds["plain"] / seconds["ours"],
            "detail": f"{SAMPLE / seconds['ours']:.0f} against {SAMPLE / seconds['plain']:.0f} texts/s, {told}",
        },
        _store(f"LaMP-4, train and dev, at most {NEWS_CORPUS:,} articles", LAMP_4_PAIRS, NEWS_CORPUS, encoder.width),
        _store(f"{source}, measured", len(entries), len(distinct), encoder.width),
    ]


def _store(shape: str, pairs: int, distinct: int, width: int) -> dict:
    released, ours = pairs * width * 4, distinct * row_bytes(width)
    return {
        "what": f"history store, bytes ÷ a single-precision vector for each (question, item): {shape}",
        "goal": "≤ 1/8",
        "value": ours / released,
        "detail": f"{ours / 1e6:,.0f} against {released / 1e6:,.0f} MB: {pairs:,} pairs, {distinct:,} texts",
    }


def row_bytes(width: int) -> int:
    """Bytes of one text in the store: its vector in half precision, and the hash it is found by."""
    return 2 * width + 16


def _user_vectors(vectors: np.ndarray, items: int = 15) -> np.ndarray:
    """Means of consecutive rows, as if each `items` texts were one user's; unit length."""
    means = vectors[: len(vectors) // items * items].reshape(-1, items, vectors.shape[1]).mean(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)
