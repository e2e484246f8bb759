"""How a text is written, whatever it says: habits that can be counted, and how far two texts are apart in them."""

import re

import numpy as np

HABITS = (
    "words",
    "letters a word",
    "capital letters",
    "begins with a capital",
    "commas",
    "full stops",
    "exclamation marks",
    "question marks",
    "apostrophes",
    "ends with a mark",
    "small i for I",
    "says I",
    "laughs",
    "emoji or smiley",
    "digits",
)
SPREADS = (
    9,
    0.68,
    0.044,
    0.435,
    0.01,
    0.018,
    0.013,
    0.013,
    0.012,
    0.5,
    0.27,
    0.5,
    0.33,
    0.13,
    0.011,
)  # of the replies of chat.py
LAUGHS = re.compile(r"\b(?:lol|lmao|rofl|(?:a?ha){2,}h?|he(?:he)+)\b", re.IGNORECASE)
SMILEY = re.compile(r"(?<!\w)[:;=]-?[()DPp]|<3|[\U0001F300-\U0001FAFF\u2600-\u27BF]")


def style(texts: list[str]) -> np.ndarray:
    """The habits of each text.

    Returns:
        `[texts, len(HABITS)] float64`: words; letters a word; shares of letters and marks among all characters; 0 or 1
        where a habit is there or not. An empty text has none.
    """
    return np.array([_habits(text) for text in texts], dtype=float).reshape(len(texts), len(HABITS))


def scaled_style(texts: list[str]) -> np.ndarray:
    """The habits of each text in units of about their spread over everyday messages: `[texts, len(HABITS)] float32`."""
    return (style(texts) / SPREADS).astype(np.float32)


def style_in_words(texts: list[str]) -> str:
    """The habits that a sentence can ask for, length, capitals and marks, of a person's texts; empty without texts."""
    if not texts:
        return ""
    mean = dict(zip(HABITS, style(texts).mean(axis=0), strict=True))
    begins, ends = (
        ("with" if mean[name] > 0.5 else "without") for name in ("begins with a capital", "ends with a mark")
    )
    return (
        f"This person writes about {mean['words']:.0f} words a message, mostly {begins} a capital letter at the "
        f"beginning and {ends} a mark at the end."
    )


def _habits(text: str) -> list[float]:
    text = text.strip()
    words, length = text.split(), max(1, len(text))
    return [
        len(words),
        float(np.mean([len(word) for word in words])) if words else 0.0,
        sum(letter.isupper() for letter in text) / length,
        text[:1].isupper(),
        *(text.count(mark) / length for mark in ",.!?'"),
        text[-1:] in tuple(".!?"),
        bool(re.search(r"\bi\b", text)),
        bool(re.search(r"\bI\b", text)),
        bool(LAUGHS.search(text)),
        bool(SMILEY.search(text)),
        sum(letter.isdigit() for letter in text) / length,
    ]


def style_distance(texts: list[str], golds: list[str], spread: np.ndarray) -> np.ndarray:
    """How far each text is from its gold in the habits of `style`.

    Args:
        texts: What was written.
        golds: What the user wrote, as many.
        spread: `[len(HABITS)]`, the standard deviation of each habit over a crowd's texts; a habit that nobody varies
            in (0) does not count.

    Returns:
        `[texts] float64`: the mean over habits of their distance, in spreads.
    """
    counts = spread > 0
    return (np.abs(style(texts) - style(golds))[:, counts] / spread[counts]).mean(axis=1)
