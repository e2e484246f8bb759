"""Writing files so that nothing is ever half-written: to a temporary name first, then renamed."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes `path`'s name, on error it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_hash(*paths: str | Path) -> str:
    """The SHA-256 of the files' bytes, in the order given, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where downloaded or computed files are kept: `$PPLUG_CACHE`, else `.cache/pplug` in the repository."""
    default = Path(__file__).resolve().parent.parent / ".cache" / "pplug"
    return Path(os.environ.get("PPLUG_CACHE") or default)
