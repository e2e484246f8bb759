"""Writing files so that nothing is ever half-written: to a temporary name first, then renamed."""

import errno
import functools
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]  # the folder `pplug`
BLOCK = 1 << 20  # bytes
DAY = 24 * 60 * 60  # seconds after which a temporary path that nobody touched is nobody's; trainings touch theirs


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, for a file or a folder.

    On success it takes `path`'s name; a folder must not be there already. On error it is removed.

    Raises:
        OSError: It could not be written; the message names `path`. What was there is untouched.
    """
    path = Path(path)
    try:
        with scratch(path) as temporary:
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
    except OSError as error:
        wanted = "expected a folder with room that may be written to (for what is kept, PPLUG_CACHE names another)"
        told = f"{path}: {error.strerror or error}: not written, what was there is untouched; {wanted}"
        raise OSError(error.errno or errno.EIO, told) from error


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Make a folder in the cache unless it is there; of several processes that want it one makes it, the others wait.

    Args:
        folder: What it is called once it is whole.
        make: Called with the temporary path where the folder is to be made.

    Returns:
        The folder.
    """
    from filelock import FileLock

    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.exists():
                with replacing(folder) as temporary:
                    make(temporary)
    return folder


@contextmanager
def scratch(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, for a file or a folder; what stands there at the end is removed.

    What killed processes left in the folder is removed as well, so nobody needs to clean up behind them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left(path.parent)
    temporary = path.with_name(f".{path.name}.{_here()}-{os.getpid()}.tmp")
    try:
        yield temporary
    finally:
        _remove(temporary)


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_left(folder: Path, deep: bool = False) -> None:
    """Remove the temporary files and folders of processes that are gone: were killed, or lost their machine.

    Args:
        folder: Where to look; it need not be there.
        deep: Whether also in the folders in it.
    """
    for parent, folders, files in os.walk(folder):  # heeds no error: others may be removing the same
        for name in (*folders, *files):
            path, owner = Path(parent) / name, re.fullmatch(r"\..+\.([0-9a-f]{8})-(\d+)\.tmp", name)
            with suppress(OSError):
                if owner and (not _may_run(owner[1], int(owner[2])) or path.stat().st_mtime < time.time() - DAY):
                    _remove(path)
        if not deep:
            return


@functools.cache
def _here() -> str:
    """Where a process's number means something: this machine since its start and, on Linux, this container."""
    parts = [platform.node()]
    with suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:8]


def _may_run(where: str, number: int) -> bool:
    """Whether a process may still be running; of those elsewhere, on a shared disk, nothing is known."""
    import psutil

    try:
        return where != _here() or psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _flush(path: Path) -> None:
    """Have the disk hold the content before the name: else, after a power cut, a file can be there and be empty."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())


def _remove(path: Path) -> None:
    """Remove a file or folder if it is there."""
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def file_hash(*paths: str | Path) -> str:
    """The SHA-256 of the files' bytes, in the order given, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()


def checkout() -> Path | None:
    """The repository this package is in, None where it was installed without it."""
    root = PACKAGE.parent
    is_ours = (root / "pyproject.toml").is_file() and ((root / ".git").exists() or (root / "Makefile").is_file())
    return root if is_ours else None


def project_folder() -> Path:
    """What default folders such as `data/` and `results/` are in: the checkout, else the current folder."""
    return checkout() or Path.cwd()


def cache_folder() -> Path:
    """Where downloaded or computed files are kept.

    Returns:
        `$PPLUG_CACHE`, else `.cache/pplug` in the checkout; of an installed package, where the system keeps caches.
    """
    if os.environ.get("PPLUG_CACHE"):
        folder = Path(os.environ["PPLUG_CACHE"]).expanduser()
    elif root := checkout():
        folder = root / ".cache" / "pplug"
    else:
        from platformdirs import user_cache_path

        folder = user_cache_path("pplug", appauthor=False)
    _tidy(folder)
    return folder


@functools.cache
def _tidy(folder: Path) -> None:
    """Once a process: where all is finished nobody writes again, so no writer comes to remove what was left there."""
    remove_left(folder, deep=True)
