"""Reading text and JSON that anyone may have written: what cannot be read rightly is refused, with file and place."""

import json
import math
import re
from pathlib import Path

from pplug.base.errors import DataError

LONGEST_NUMBER = 30  # digits of a number in a date
SHOWN = 60  # characters of a value that an error shows


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte-order mark."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:  # not replaced: it would make one name of two, and one text of two
        line = error.object[: error.start].count(b"\n") + 1
        found = f"the byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{path}: line {line}: expected a file in UTF-8, found {found}: save it as UTF-8") from error


def read_json(path: Path):
    """Read a JSON file, saying what is wrong with it if it is not one."""
    text = read_text(path)
    if text.lstrip()[:1] == "<":
        raise DataError(f"{path}: expected JSON, found an HTML page: a wrong download address answers with one")
    return parse_json(text, str(path))


def parse_json(text: str, where: str, what: str = "JSON"):
    """Parse JSON; `where` is what an error begins with, and `what` was expected there."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}" if "\n" in text else f"column {error.colno}"
        raise DataError(f"{where}: expected {what}, but it is malformed or truncated: {error.msg}: {place}") from error
    except RecursionError as error:
        raise DataError(f"{where}: expected {what} that is nested less deeply") from error
    except ValueError as error:  # Python refuses to read whole numbers of thousands of digits
        raise DataError(f"{where}: expected numbers of fewer digits: {error}") from error
    if re.search(r"\\u[dD][89a-fA-F]", text):  # parts of characters; here are few files that need the check
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            near = error.object[max(0, error.start - SHOWN) : error.start]
            raise DataError(f"{where}: expected whole characters, found half of a pair behind {near!r}") from error
    return value


def is_value(value) -> bool:
    """Whether a JSON value is text or a number; infinity and what is no number are not."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int) and not isinstance(value, bool)


def shown(text: str) -> str:
    """A value as an error shows it: short, and without characters that steer a terminal."""
    return text if text.isprintable() and len(text) <= SHOWN else repr(text[:SHOWN]) + "..." * (len(text) > SHOWN)


def date_numbers(date: str) -> list[int]:
    """The numbers of a date, year first; without leading zeros they would sort wrongly as text.

    Raises:
        DataError: They do not sort by time: they are negative, in scientific notation, or endless.
    """
    numbers = re.findall(r"\d+", date)
    if re.match(r"\s*-", date) or re.search(r"\d[eE][-+]?\d", date) or any(len(n) > LONGEST_NUMBER for n in numbers):
        raise DataError(f"expected a date, year first, or seconds as date, found {shown(date)!r}")
    return [int(number) for number in numbers]
