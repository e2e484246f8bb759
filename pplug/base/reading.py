"""Reading text and JSON that anyone may have written: what cannot be read rightly is refused, with file and place."""

import codecs
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

from pplug.base.errors import DataError

BLOCK = 1 << 20  # bytes read at a time
DECODER, SPACE, HALF = json.JSONDecoder(), re.compile(r"[ \t\r\n]*"), re.compile(r"\\u[dD][89a-fA-F]")
SHOWN = 60  # characters of a value that an error shows


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte-order mark."""
    return "".join(text_blocks(path))


def read_json(path: Path):
    """Read a JSON file, saying what is wrong with it if it is not one."""
    text = read_text(path)
    if text.lstrip()[:1] == "<":
        raise DataError(f"{path}: expected JSON, found an HTML page: a wrong download address answers with one")
    return parse_json(text, str(path))


def parse_json(text: str, where: str, what: str = "JSON"):
    """Parse JSON; `where` is what an error begins with, and `what` was expected there."""
    try:
        value, end = decode_json(text, SPACE.match(text).end(), where, what)
        rest = SPACE.match(text, end).end()
        if rest < len(text):
            raise json.JSONDecodeError("Extra data", text, rest)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}" if "\n" in text else f"column {error.colno}"
        raise DataError(f"{where}: expected {what}, but it is malformed or truncated: {error.msg}: {place}") from error
    return value


def decode_json(text: str, at: int, where: str, what: str = "JSON"):
    """Parse the JSON value that begins at `at`; returns it and where it ends."""
    try:
        value, end = DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise DataError(f"{where}: expected {what} that is nested less deeply") from error
    except ValueError as error:  # Python refuses to read whole numbers of thousands of digits
        raise DataError(f"{where}: expected numbers of fewer digits: {error}") from error
    if HALF.search(text, at, end):  # parts of characters; few files need the check
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            near = error.object[max(0, error.start - SHOWN) : error.start]
            raise DataError(f"{where}: expected whole characters, found half of a pair behind {near!r}") from error
    return value, end


def text_blocks(path: Path) -> Iterator[str]:
    """A UTF-8 file's text in parts, without byte-order mark."""
    decoder, line = codecs.getincrementaldecoder("utf-8-sig")(), 1
    with path.open("rb") as file:
        while True:
            raw = file.read(BLOCK)
            try:
                text = decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:  # not replaced: it would make one name of two, and one text of two
                line += error.object[: error.start].count(b"\n")
                found = f"the byte 0x{error.object[error.start]:02x}"
                told = f"{path}: line {line}: expected a file in UTF-8, found {found}: save it as UTF-8"
                raise DataError(told) from error
            line += text.count("\n")
            if text:
                yield text
            if not raw:
                return


def is_value(value) -> bool:
    """Whether a JSON value is text or a number; infinity and what is no number are not."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int) and not isinstance(value, bool)


def shown(text: str) -> str:
    """A value as an error shows it: short, and without characters that steer a terminal."""
    return text if text.isprintable() and len(text) <= SHOWN else repr(text[:SHOWN]) + "..." * (len(text) > SHOWN)
