"""Whether a benchmark reached what it was to reach."""

from fractions import Fraction
from operator import ge, gt, le, lt

COMPARED = {"≥": ge, ">": gt, "≤": le, "<": lt}


def missed(row: dict) -> str:
    """` missed` where a row's value is on the wrong side of its goal, such as `≤ 1/8`; else nothing.

    Args:
        row: With `goal`, which may also be empty or words, and `value`.
    """
    sign, _, number = row["goal"].partition(" ")
    return " missed" if sign in COMPARED and not COMPARED[sign](row["value"], Fraction(number)) else ""
