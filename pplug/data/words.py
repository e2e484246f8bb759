"""Words of any script, for ROUGE on texts that are not in plain English letters."""

import re
import unicodedata

# Scripts that set no spaces between words: Thai and Lao, Burmese, Khmer, Japanese, Chinese characters.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def unicode_words(text: str) -> list[str]:
    """Split a text into words, in lower case: runs of letters, their marks and digits.

    On ASCII text they are the words of LaMP's evaluator. Where a script sets no spaces, each letter is a word: else a
    sentence would be one, and right or wrong as a whole.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kinds = "".join(map(_kind, text))
    return [text[word.start() : word.end()] for word in re.finditer("um*|[lm]+", kinds)]


def has_other_letters(text: str) -> bool:
    """Whether a text has letters, marks or digits beyond ASCII's."""
    return not text.isascii() and any(not char.isascii() and _kind(char) != " " for char in text)


def _kind(char: str) -> str:
    """`m` for a mark on a letter, `u` for a letter that is a word, `l` for other letters and digits, else a space."""
    category = unicodedata.category(char)[0]
    if category not in "LMN":
        return " "
    return "m" if category == "M" else "u" if UNSPACED.match(char) else "l"
