"""Execute one notebook from top to bottom: what it took, what it printed, and how a signal ends it."""

import asyncio
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from pplug.config import CHATS

SAMPLE_EVERY = 0.2  # seconds between two looks at the kernel's memory
MIB = 2**20
WIDGET = "application/vnd.jupyter.widget-view+json"
KEPT_METADATA = ("kernelspec", "language_info")
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
PATHS = ("PPLUG_DATA", "PPLUG_LLM", "PPLUG_CACHE")  # environment variables that may name a folder


@dataclass(frozen=True)
class Run:
    """What executing one notebook took.

    Attributes:
        name: The notebook's file name without its suffix.
        error: The error that stopped it, as `Type: message`; empty if there was none.
        seconds: Wall time, the kernel's start included.
        peak_mib: Largest resident memory of the kernel and its child processes, in MiB. Pages that they share are
            counted once for each process, so this is an upper bound.
        cells: Number of code cells.
        source: SHA-256 of their source: a notebook whose code was changed since is told by it.
    """

    name: str
    error: str
    seconds: float
    peak_mib: float
    cells: int
    source: str


class PeakMemory:
    """Watch a process and its children from a thread; `peak` is the largest memory seen, in bytes."""

    def __init__(self) -> None:
        self.peak = 0
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, process_id: int) -> None:
        """Begin to watch the process of this number."""
        self._thread = threading.Thread(target=self._watch, args=(process_id,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End watching. Harmless if it never began."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, process_id: int) -> None:
        while True:
            try:
                parent = psutil.Process(process_id)
                family = [parent, *parent.children(recursive=True)]
            except psutil.Error:  # the kernel has ended
                return
            self.peak = max(self.peak, sum(map(_memory, family)))
            if self._done.wait(SAMPLE_EVERY):
                return


def _memory(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # a child that ended between the two looks
        return 0


class Ending:
    """Whether a signal has asked this run to end. No exception: that could come in the middle of a write.

    Attributes:
        number: The first such signal's number; 0 while there was none.
        stop: What to call when one comes; None while there is nothing to stop.
    """

    def __init__(self) -> None:
        self.number = 0
        self.stop = None

    def __call__(self, number: int, _frame=None) -> None:
        """Note the signal; a second one changes nothing."""
        first, self.number = not self.number, self.number or number
        if first and self.stop:
            self.stop()

    @property
    def name(self) -> str:
        """The signal's name, as `SIGTERM`."""
        return signal.Signals(self.number).name


@contextmanager
def heeding_signals() -> Iterator[Ending]:
    """Have the signals that end a program noted instead, while this is open. One that is ignored (nohup) stays so."""
    ending = Ending()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, ending)
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Client(NotebookClient):
    """nbclient's client, but for its signal handlers: those end the kernel and let the program go on."""

    ending: Ending

    @asynccontextmanager
    async def async_setup_kernel(self, **options):
        self.create_kernel_manager()
        try:
            await self.async_start_new_kernel(**options)
            await self.async_start_new_kernel_client()
            yield
        finally:
            self.ending.stop = None  # else a signal from here on would stop what ends the kernel
            if self.ending.number:
                self.shutdown_kernel = "immediate"  # the kernel and its children, by SIGKILL
            if self.km is not None:
                await self._async_cleanup_kernel()


def execute(path: Path, ending: Ending | None = None) -> tuple[Run, object]:
    """Execute one notebook in its own folder, from top to bottom, up to the first error or a signal.

    Args:
        path: The notebook.
        ending: What notes the signals; None where nothing does.

    Returns:
        What it took, and the executed notebook, cleaned, with the error in it if there was one.
    """
    ending = ending or Ending()
    notebook = nbformat.read(path, as_version=4)
    memory = PeakMemory()
    client = _Client(
        notebook,
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
        on_notebook_start=lambda **_: memory.start(client.km.provisioner.pid),
        # Else a kernel that could encrypt what it sends says, for each notebook, that it does not.
        config=Config(KernelManager={"transport_encryption": "auto"}),
    )
    client.ending = ending

    async def run() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        ending.stop = lambda: loop.call_soon_threadsafe(task.cancel)
        if ending.number:
            raise asyncio.CancelledError
        await client.async_execute(env=kernel_environment())

    error, start = "", time.perf_counter()
    try:
        asyncio.run(run())
    except CellExecutionError as failure:
        error = f"{failure.ename}: {failure.evalue}"
    except asyncio.CancelledError:
        error = f"Ended: by {ending.name}"
    except Exception as failure:  # a dead kernel or one that is not installed: report it, go on with the others
        error = f"Ended: by {ending.name}" if ending.number else f"{type(failure).__name__}: {failure}"
    finally:
        seconds = time.perf_counter() - start
        ending.stop = None
        memory.stop()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs = join_streams(cell.outputs)
    clean(notebook)
    source = source_hash([cell.source for cell in code])
    return Run(path.stem, error, round(seconds, 1), round(memory.peak / MIB, 1), len(code), source), notebook


def kernel_environment() -> dict[str, str]:
    """The kernel's environment: ours, with folders given from here named so that they are found from there."""
    # A backend set for a terminal would leave the notebook without its figures.
    variables = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    for key in PATHS:
        if value := variables.get(key):
            path = Path(value).expanduser().absolute()
            # An LLM may be a name on the hub, and the packaged chats are no folder.
            if path.exists() or not (key == "PPLUG_LLM" or (key == "PPLUG_DATA" and value == CHATS)):
                variables[key] = str(path)
    return variables


def join_streams(outputs: list) -> list:
    """Make one output of all that a cell wrote to standard output, and one of all it wrote to standard error.

    Else the same prints are one output or several, as the kernel's pauses fall. (nbclient's `coalesce_streams` does
    the same, in a time that grows with the square of the longest line.) Of a line that was written over, by a carriage
    return, the last writing stays.

    Args:
        outputs: A cell's outputs, in order.

    Returns:
        The outputs, each stream where its first part was; standard output first where the two stand side by side.
    """
    texts, joined = {}, []
    for output in outputs:
        if output.output_type != "stream":
            joined.append(output)
        elif output.name in texts:
            texts[output.name].append(output.text)
        else:
            texts[output.name] = [output.text]
            joined.append(output)
    places = {output.name: place for place, output in enumerate(joined) if output.output_type == "stream"}
    for name, place in places.items():
        lines = "".join(texts[name]).split("\n")
        joined[place].text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
    if len(places) == 2 and places["stdout"] == places["stderr"] + 1:
        first = places["stderr"]
        joined[first : first + 2] = joined[first + 1], joined[first]
    return joined


def clean(notebook) -> None:
    """Remove in place what differs between two equal runs: time stamps, cell metadata, the kernel's exact version.

    Widgets go too: without a kernel they are dead. Cell ids, tags and figures' alternative texts stay.
    """
    for key in set(notebook.metadata) - set(KEPT_METADATA):
        del notebook.metadata[key]
    notebook.metadata.get("language_info", {}).pop("version", None)
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in ("tags", "jupyter") if key in cell.metadata}  # folded, say
        cell.metadata = type(cell.metadata)(kept)
        if cell.get("outputs"):
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
        for output in cell.get("outputs", []):
            if "metadata" in output:
                alt = output.metadata.get("image/png", {}).get("alt")
                output.metadata = type(output.metadata)({"image/png": {"alt": alt}} if alt else {})


def source_hash(code: list[str]) -> str:
    """SHA-256 of code cells, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()
