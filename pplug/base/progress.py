"""A progress line for long work that is gone when the work is: nothing of it stays in a committed notebook."""

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

REDRAW = 0.2  # seconds between two drawings; more often only costs time


def track(iterable: Iterable[T], total: int | None = None, label: str = "") -> Iterator[T]:
    """Yield the items of `iterable`, showing how far it got: in a terminal or in a notebook someone is looking at.

    Nothing at all is shown when the environment has `CI` or `PPLUG_QUIET`, when standard error is a file, and when a
    notebook runs without a reader (nbclient, nbmake, nbconvert): what a notebook displays is there to stay.

    Args:
        iterable: What to go through.
        total: Number of items; `len(iterable)` if None, and a plain count where there is no length.
        label: What is being done, e.g. `"encoding 4,000 texts"`.

    Yields:
        The items, unchanged.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    line = _line()
    if line is None:
        yield from iterable
        return
    draw, clear = line
    started = drawn = time.monotonic()
    try:
        for done, item in enumerate(iterable, start=1):
            yield item
            now = time.monotonic()
            if now - drawn >= REDRAW:
                draw(describe(label, done, total, now - started))
                drawn = now
    finally:  # also when the loop is left early or by an error
        clear()


def no_old_advice() -> None:
    """Silence what transformers' EncoderDecoderModel says at every loss: how losses were computed before 2021."""
    warnings.filterwarnings("ignore", "Version v4.12.0 introduces", FutureWarning)


@contextmanager
def no_loading_bars() -> Iterator[None]:
    """Silence the bars transformers draws while it loads weights: they would stay in a notebook.

    So would tqdm's advice to install widgets for them, given when transformers is first imported: do it inside.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        from transformers.utils import logging as settings

    was_on = settings.is_progress_bar_enabled()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            settings.enable_progress_bar()


def describe(label: str, done: int, total: int | None, seconds: float) -> str:
    """The progress line, e.g. `"encoding: 25 %, 30 s left"`."""
    if not total:
        return f"{label}: {done:,}"
    left = max(seconds / done * (total - done), 0.0)
    return f"{label}: {done / total:.0%}, ".replace("%", " %") + (
        f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left"
    )


def _line() -> tuple[Callable[[str], object], Callable[[], object]] | None:
    """How to draw the line and how to clear it, wherever this runs; None where nobody would see it."""
    if os.environ.get("CI") or os.environ.get("PPLUG_QUIET"):
        return None
    kernel = _kernel()
    if kernel is not None:
        # A front end with a reader lets cells ask for input; whatever runs notebooks unattended does not.
        return _notebook_line() if getattr(kernel, "_allow_stdin", False) else None
    if not sys.stderr.isatty():
        return None
    erase = "\r\x1b[K"  # back to the start of the line, and erase it

    def write(text: str) -> None:
        sys.stderr.write(erase + text)
        sys.stderr.flush()

    return write, lambda: write("")


def _kernel() -> object | None:
    """The Jupyter kernel this runs in, or None. Plain IPython in a terminal has none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None)


def _notebook_line() -> tuple[Callable[[str], object], Callable[[], object]]:
    """A display that is updated in place. Clearing the cell instead would take what the reader printed with it."""
    from IPython.display import display

    handles = []

    def draw(text: str) -> None:
        data = {"text/plain": text}
        if handles:
            handles[0].update(data, raw=True)
        else:  # first drawn after REDRAW seconds: short work displays nothing, and so has nothing to clear
            handles.append(display(data, raw=True, display_id=True))

    return draw, lambda: handles and handles[0].update({}, raw=True)
