"""What `pip install pplug` leaves out, and how an import that needs it says so."""

from collections.abc import Iterator
from contextlib import contextmanager

from pplug.base.errors import InputError


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
