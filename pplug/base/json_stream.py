"""JSON lists of any size, one item after the other: LaMP-3's 2.7 GB need no more memory than their largest item."""

import json
from collections.abc import Iterator
from pathlib import Path

from pplug.base.errors import DataError
from pplug.base.reading import SPACE, decode_json, read_json, text_blocks

LONGEST_WORD = 16  # more than any of JSON's words: nearer to the end of a part, what looks malformed may only be cut


def json_items(path: Path, expected: str) -> Iterator:
    """Read the items of a file's JSON list one after the other.

    Args:
        path: A UTF-8 file.
        expected: What the file should hold, for the error where it holds no list.

    Yields:
        The items, as `json.loads` would give them.

    Raises:
        DataError: It is no such file. What stands before the fault has been yielded by then.
    """
    stream = _Stream(path)
    if stream.sign() != "[":
        read_json(path)  # it may say more
        raise DataError(f"{path}: expected {expected}")
    stream.skip_sign()
    if stream.sign() == "]":
        stream.skip_sign()
    else:
        separator = ","
        while separator == ",":
            yield stream.value()
            separator = stream.sign()
            if separator not in (",", "]"):
                raise stream.malformed("Expecting ',' delimiter", stream.at)
            stream.skip_sign()
    if stream.sign():
        raise stream.malformed("Extra data", stream.at)


class _Stream:
    """The part of a file that is in memory, how far it is read, and where in the file it begins."""

    def __init__(self, path: Path):
        self.path, self.blocks = path, text_blocks(path)
        self.text, self.at, self.line, self.column = "", 0, 1, 1

    def more(self) -> bool:
        """Drop what is read, and read as much again as is left, so that an item of any size takes linear time."""
        self.line, self.column = self.place(self.at)
        parts = [self.text[self.at :]]
        left, added = len(parts[0]), 0
        while added < max(1, left) and (block := next(self.blocks, "")):
            parts.append(block)
            added += len(block)
        self.text, self.at = "".join(parts), 0
        return added > 0

    def sign(self) -> str:
        """The next character that is no white space; empty at the end of the file."""
        self.at = SPACE.match(self.text, self.at).end()
        while self.at == len(self.text) and self.more():
            self.at = SPACE.match(self.text, self.at).end()
        return self.text[self.at : self.at + 1]

    def skip_sign(self) -> None:
        self.at += 1

    def value(self):
        """The next value."""
        self.sign()
        while True:
            try:
                value, end = decode_json(self.text, self.at, str(self.path))
                length = end - self.at
                if end <= len(self.text) - LONGEST_WORD or not self.more():  # else a number may go on, as in 1.5e3
                    self.at += length
                    return value
            except json.JSONDecodeError as error:
                is_cut = error.pos > len(self.text) - LONGEST_WORD or error.msg.startswith("Unterminated string")
                offset = error.pos - self.at
                if not (is_cut and self.more()):
                    raise self.malformed(error.msg, self.at + offset) from error

    def place(self, position: int) -> tuple[int, int]:
        """Line and column of a position in `text`."""
        newlines = self.text.count("\n", 0, position)
        return self.line + newlines, position - self.text.rfind(
            "\n", 0, position
        ) if newlines else self.column + position

    def malformed(self, what: str, position: int) -> DataError:
        where = "line {} column {}".format(*self.place(position))
        return DataError(f"{self.path}: expected JSON, but it is malformed or truncated: {what}: {where}")
