"""The project's own errors. `python -m pplug` shows their message alone; any other error is a fault of the program."""

from collections.abc import Iterator
from contextlib import contextmanager

SHOWN = 400  # characters of a library's own message


class InputError(ValueError):
    """What was given cannot be used. The message says what was wrong, where, and what would be right."""


class DataError(InputError):
    """A file is not what its format promises. The message names file, line or example, and what was expected."""


@contextmanager
def loading(what: str, name: str) -> Iterator[None]:
    """Let a library's error on loading a model say what was named: `llm 'x': cannot be loaded: ...`."""
    from safetensors import SafetensorError

    told = f"{what} {name[:100]!r}"
    if not name.strip() or not name.isprintable():
        raise InputError(f"{told}: expected a name or a folder")
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{told}: cannot be loaded: {str(error)[:SHOWN]}") from error
