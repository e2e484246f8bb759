"""One's own users: a table of texts, or a git repository → LaMP files, split by time.

A table has four columns, `user`, `time`, `input` and `output`: a CSV file with a header, or JSON lines.
"""

import csv
import hashlib
import io
import json
import logging
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pplug.base import DataError, InputError, is_value, parse_json, read_text, shown, time_order, write_text
from pplug.data import SPLITS, TASKS, Task, build_input, get_task

COLUMNS = ("user", "time", "input", "output")
FEWEST_TEXTS = 6  # texts a user must have: one for each split, and a history of three
MAIL = re.compile(r"<?[\w.+-]+@[\w-]+(\.[\w-]+)*>?")  # also bob@host
TRAILER = re.compile(r"^[A-Z][\w-]*-(by|Id): .*$", re.MULTILINE | re.IGNORECASE)  # Signed-off-by: ..., Change-Id: ...


@dataclass(frozen=True)
class DatedText:
    """One text of a user: when it was written, what it answers, and the answer."""

    user: str
    time: str
    input: str
    output: str


def read_table(path: str | Path) -> list[DatedText]:
    """Read a table of texts.

    Args:
        path: A `.csv` file whose header names `user`, `time`, `input` and `output` (others are ignored), or a `.jsonl`
            file with one such object a line. UTF-8. A time is in ISO 8601, such as `2024-05-31` or
            `2024-05-31T10:00`, or seconds or milliseconds since 1970.

    Returns:
        The texts, in the order of the file.

    Raises:
        DataError: The file is not UTF-8, or a line is not such a row; the message names it.
    """
    path = Path(path)
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    if path.suffix not in readers:
        raise DataError(f"{path}: expected a .csv or .jsonl file")
    texts = []
    for line, row in readers[path.suffix](path):
        for column in COLUMNS:
            if not is_value(row.get(column)) or not str(row[column]).strip():
                raise DataError(f"{path}: line {line}: expected a value in the column {column!r}")
        try:
            time_order([str(row["time"])])
        except DataError as error:
            raise DataError(f"{path}: line {line}: {error}") from error
        texts.append(DatedText(*(str(row[column]).strip() for column in COLUMNS)))
    return texts


def _csv_rows(path: Path) -> Iterator[tuple[int, dict]]:
    csv.field_size_limit(1 << 24)
    # Strictly: an open quote would else take all further rows into one text.
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        names = reader.fieldnames or []
        for column in COLUMNS:
            if names.count(column) != 1:
                what = "is there twice" if column in names else "is missing"
                raise DataError(f"{path}: line 1: expected a header with {', '.join(COLUMNS)}, {column!r} {what}")
        for row in reader:
            if None in row:  # else a text with a comma and no quotes would lose what stands behind it
                told = f"expected {len(names)} columns as in the header, found {len(names) + len(row[None])}"
                raise DataError(f"{path}: line {reader.line_num}: {told}: put texts with commas in quotes")
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(
            f"{path}: line {max(1, reader.reader.line_num)}: expected rows of a CSV file: {error}"
        ) from error


def _json_rows(path: Path) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(io.StringIO(read_text(path), newline=None), 1):
        if not line.strip():
            continue
        row = parse_json(line.strip(), f"{path}: line {number}", "a JSON object")
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number}: expected a JSON object, found {line.strip()[:40]!r}")
        yield number, row


def read_git(repository: str | Path) -> list[DatedText]:
    """Read a git repository's commits as texts: who, when, the message's body as input, its subject as output.

    Commits without a body and merges are left out; so are e-mail addresses and trailers such as `Signed-off-by`. A
    commit whose author has no date has its committer's; one that has neither is left out, which is logged.

    Raises:
        DataError: There is no git repository.
    """
    # NUL, which no commit can hold, ends each part; the signatures' own program is not run.
    form = "%aN%x00%at%x00%ct%x00%s%x00%b"
    command = ["git", "-C", str(repository), "-c", "log.showSignature=false", "log", "--no-merges", "-z"]
    command += [f"--format={form}"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise DataError(f"{repository}: expected a git repository with commits: {_decoded(done.stderr).strip()}")
    texts, undated = [], 0
    parts = [_decoded(part) for part in done.stdout.split(b"\0")]
    for start in range(0, len(parts) - 4, 5):
        author, written, committed, *message = parts[start : start + 5]
        time = _git_time(written) or _git_time(committed)
        subject, body = (" ".join(MAIL.sub("", TRAILER.sub("", part)).split()) for part in message)
        user = _user_name(author)
        if time is None:
            undated += 1
        elif user and subject and body:
            texts.append(DatedText(user, time, body, subject))
    if undated:
        logging.getLogger(__name__).warning("%s: %s commits without a date are left out", repository, f"{undated:,}")
    return texts


def _decoded(raw: bytes) -> str:
    """Git's output as text. What is not UTF-8 is read as Latin-1, so that two names stay two."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _git_time(seconds: str) -> str | None:
    """A commit's time in ISO 8601; None where it has none, or one beyond all years."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _user_name(author: str) -> str:
    """An author's name without e-mail address; where it is only that, its first part and a few digits of its hash."""
    name = " ".join(MAIL.sub("", author).split())
    if name or not author.strip():
        return name
    digest = hashlib.sha256(author.strip().encode()).hexdigest()[:6]  # else ann@one.org and ann@two.org were one user
    return f"{author.strip(' <>').split('@')[0]} {digest}"


def write_users(
    folder: str | Path, task: Task | str, texts: Iterable[DatedText], least: int = FEWEST_TEXTS
) -> dict[str, int]:
    """Write texts as LaMP files, split by time.

    A user's last text is the test question, the one before it the dev question, the third last the train question;
    what came before a question is its history.

    Args:
        folder: Where to; made if it does not exist.
        task: A task whose items are input and output: LaMP-2, LaMP-3, LaMP-4, LaMP-5, or one's own.
        texts: In any order.
        least: Users with fewer texts are left out.

    Returns:
        How many users were written, and how many left out: `{"users", "left_out", "texts"}`.

    Raises:
        DataError: No user has enough texts, or an output is none of the task's labels.
        InputError: The task's items are not input and output.
    """
    spec, folder = task if isinstance(task, Task) else get_task(task), Path(folder)
    if spec.held_out is None:
        fitting = [name for name, other in TASKS.items() if other.held_out]
        raise InputError(f"{spec.name}: its items hold no input and output; expected one of {', '.join(fitting)}")
    by_user: dict[str, list[DatedText]] = {}
    for text in texts:
        if spec.labels and text.output not in spec.labels:
            labels = ", ".join(spec.labels)
            whose, found = f"{shown(text.user)}, {shown(text.time)}", shown(text.output)
            raise DataError(f"{whose}: expected one of {labels} as output, found {found!r}")
        by_user.setdefault(text.user, []).append(text)
    kept = {
        user: [written[place] for place in time_order([text.time for text in written])]
        for user, written in sorted(by_user.items())
        if len(written) >= max(least, len(SPLITS))
    }
    if not kept:
        most = max(map(len, by_user.values()), default=0)
        raise DataError(f"no user has {least} texts or more: of {len(by_user)} users the largest has {most}")
    for back, split in zip((3, 2, 1), SPLITS, strict=True):
        questions = [
            _question(spec, number, user, written, len(written) - back)
            for number, (user, written) in enumerate(kept.items())
        ]
        outputs = [written[-back].output for written in kept.values()]
        golds = [{"id": q["id"], "output": output} for q, output in zip(questions, outputs, strict=True)]
        _write_json(folder / f"{split}_questions.json", questions)
        _write_json(folder / f"{split}_outputs.json", {"task": spec.name.replace("-", "_"), "golds": golds})
    return {"users": len(kept), "left_out": len(by_user) - len(kept), "texts": sum(map(len, kept.values()))}


def _question(task: Task, number: int, user: str, texts: list[DatedText], at: int) -> dict:
    """A user's text number `at` as a question, those before it as its profile."""
    question, answer = task.held_out
    items = [
        {"id": f"{number}-{i}", "date": text.time, question: text.input, answer: text.output}
        for i, text in enumerate(texts[:at])
    ]
    asked = build_input(task, **{task.query_slot: texts[at].input})
    return {"id": f"{number}-{at}", "input": asked, "user_id": user, "date": texts[at].time, "profile": items}


def _write_json(path: Path, value) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False))
