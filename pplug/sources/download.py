"""Fetching LaMP's own files (licence: LICENCES.md): resumable, checked before they take their name."""

import json
import time
from collections.abc import Iterator
from datetime import date
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pplug.base import DataError, file_hash, read_json, track, write_text
from pplug.data import SPLITS, check_file, get_task

SITE = "https://ciir.cs.umass.edu/downloads/LaMP"
LIST = "downloads.json"  # what was fetched: address, bytes, SHA-256, date
BLOCK = 1 << 20  # bytes
ATTEMPTS = 4  # connections for one file, each going on where the last broke off
WAIT = 2.0  # seconds before the next attempt


class DownloadError(OSError):
    """A file could not be fetched. The message says what to do about it; what has arrived is kept."""


def address(task: str, split: str, kind: str, time_based: bool = True, site: str = SITE) -> str:
    """Where one file of LaMP sits; LaMP-2's movie tagging is under `new/`, its plain folder is the old news task.

    Args:
        task: The task's name.
        split: `train`, `dev` or `test`.
        kind: `questions` or `outputs`.
        time_based: The time-based split, the paper's; otherwise the user-based one.
        site: Where LaMP's folders are.
    """
    name = get_task(task).name.replace("-", "_")
    middle = "/new" if name == "LaMP_2" else ""
    return f"{site}/{'time/' if time_based else ''}{name}{middle}/{split}/{split}_{kind}.json"


def download(folder: str | Path, task: str, time_based: bool = True, site: str = SITE) -> Path:
    """Download a task's files; the test outputs are withheld by the organisers and not asked for.

    A file that is already there is kept, one that was broken off goes on. Sizes and SHA-256 are written to
    `downloads.json` beside the files.

    Args:
        folder: Where to.
        task: The task's name.
        time_based: See `address`.
        site: See `address`.

    Returns:
        The folder.

    Raises:
        DataError: What the address serves is not LaMP's JSON of that task; nothing of it is kept.
        DownloadError: There is no network, no such file, or the connection breaks again and again.
    """
    folder, spec = Path(folder), get_task(task)
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        for kind in ("questions", "outputs"):
            path = folder / f"{split}_{kind}.json"
            if path.exists() or (split, kind) == ("test", "outputs"):
                continue
            source = address(spec.name, split, kind, time_based, site)
            part = path.with_name(f".{path.name}.part")
            is_resumed = part.exists()
            _fetch(source, part)
            try:
                check_file(part, spec, kind)
            except DataError as error:
                part.unlink()
                if is_resumed:  # perhaps the file has changed since its first part came
                    return download(folder, task, time_based, site)
                raise DataError(f"{source}: {str(error).removeprefix(f'{part}: ')}") from error
            known = read_json(folder / LIST) if (folder / LIST).exists() else {}
            if not isinstance(known, dict):
                raise DataError(f"{folder / LIST}: expected an object with an entry for each file: delete this file")
            facts = {"address": source, "bytes": part.stat().st_size, "sha256": file_hash(part)}
            known[path.name] = facts | {"date": str(date.today())}
            write_text(folder / LIST, json.dumps(known, indent=1) + "\n")
            part.rename(path)
    return folder


def _fetch(source: str, part: Path) -> None:
    """Fetch a file into `part`, going on behind what is there already."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch_rest(source, part)
            return
        except HTTPError as error:
            if error.code == 416:  # nothing lies behind what is there: it is whole, or not this file
                return
            if error.code < 500 or attempt == ATTEMPTS:
                raise DownloadError(f"{source}: the server answers {error.code} {error.reason}") from error
        except URLError as error:
            if attempt == ATTEMPTS or not part.exists():
                raise DownloadError(
                    f"{source}: cannot be reached ({error.reason}). Without network, fetch the task's files elsewhere "
                    f"(https://lamp-benchmark.github.io/download) and put them here: {part.parent}"
                ) from error
        except (OSError, HTTPException) as error:
            if attempt == ATTEMPTS:
                arrived = part.stat().st_size if part.exists() else 0
                raise DownloadError(
                    f"{source}: the connection broke {ATTEMPTS} times, {arrived:,} bytes have arrived and are kept: "
                    "the same command goes on from there"
                ) from error
        time.sleep(WAIT * attempt)


def _fetch_rest(source: str, part: Path) -> None:
    """One connection: ask for what is missing; start over if the server cannot begin in the middle."""
    there = part.stat().st_size if part.exists() else 0
    request = Request(source, headers={"Range": f"bytes={there}-"} if there else {})
    with urlopen(request, timeout=60) as answer:
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {there}-")
        length = answer.length  # None where the header is missing or no number
        blocks = -(-length // BLOCK) if length is not None else None
        got = 0
        with part.open("ab" if goes_on else "wb") as file:
            for block in track(_blocks(answer), blocks, source.rsplit("/", 1)[1]):
                got += file.write(block)
        if length is not None and got < length:
            raise ConnectionError(f"{got} of {length} bytes")


def _blocks(answer) -> Iterator[bytes]:
    while block := answer.read(BLOCK):
        yield block
