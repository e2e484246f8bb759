"""Execute the notebooks and report what each one took: `python -m tools.notebooks [--write | --compare] [names ...]`.

The executed copies and `timings.json` go to `executed/<profile>/`, a failed notebook's copy with its error in it. With
`--write` the outputs also go back into `notebooks/`: those are the outputs to commit. Both are cleaned first, so that
two runs differ only where their results do. `--compare` says where they differ from the committed ones (`reruns.py`).
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from pplug.base.files import cache_folder, write_text
from pplug.config import DEFAULT, get_profile
from tools.reruns import compare

ROOT = Path(__file__).resolve().parent.parent
PATTERN = "[0-9][0-9]_*.ipynb"
SAMPLE_EVERY = 0.2  # seconds between two looks at the kernel's memory
MIB = 2**20
KEPT_METADATA = ("kernelspec", "language_info")


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
        import psutil

        while True:
            try:
                parent = psutil.Process(process_id)
                family = [parent, *parent.children(recursive=True)]
            except psutil.Error:  # the kernel has ended
                return
            self.peak = max(self.peak, sum(map(_memory, family)))
            if self._done.wait(SAMPLE_EVERY):
                return


def _memory(process) -> int:
    import psutil

    try:
        return process.memory_info().rss
    except psutil.Error:  # a child that ended between the two looks
        return 0


def execute(path: Path) -> tuple[Run, object]:
    """Execute one notebook in its own folder, from top to bottom, up to the first error.

    Args:
        path: The notebook.

    Returns:
        What it took, and the executed notebook, cleaned, with the error in it if there was one.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)
    memory = PeakMemory()

    def watch(**_) -> None:
        memory.start(client.km.provisioner.pid)

    client = NotebookClient(
        notebook,
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # else the same prints are one output or several, as the kernel's pauses fall
        resources={"metadata": {"path": str(path.parent)}},
        on_notebook_start=watch,
        # Else a kernel that could encrypt what it sends says, for each notebook, that it does not.
        config=Config(KernelManager={"transport_encryption": "auto"}),
    )
    # A backend set for a terminal would leave the notebook without its figures.
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    error, start = "", time.perf_counter()
    try:
        client.execute(env=environment)
    except CellExecutionError as failure:
        error = f"{failure.ename}: {failure.evalue}"
    except Exception as failure:  # a dead kernel or one that is not installed: report it, go on with the others
        error = f"{type(failure).__name__}: {failure}"
    finally:
        seconds = time.perf_counter() - start
        memory.stop()
    clean(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return Run(path.stem, error, round(seconds, 1), round(memory.peak / MIB, 1), len(code), source_hash(code)), notebook


def source_hash(code: list[str]) -> str:
    """SHA-256 of code cells, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def clean(notebook) -> None:
    """Remove in place what differs between two equal runs: time stamps, cell metadata, the kernel's exact version.

    Cell ids and tags stay.
    """
    for key in set(notebook.metadata) - set(KEPT_METADATA):
        del notebook.metadata[key]
    notebook.metadata.get("language_info", {}).pop("version", None)
    for cell in notebook.cells:
        cell.metadata = type(cell.metadata)({key: cell.metadata[key] for key in ("tags",) if key in cell.metadata})
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = type(output.metadata)()


def save(path: Path, notebook) -> None:
    """Write a notebook, all of it or nothing."""
    import nbformat

    write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def find(folder: Path, names: list[str]) -> list[Path]:
    """List the notebooks of a folder in order.

    Args:
        folder: Where they are.
        names: If any, only the notebooks whose file names begin with one of these, such as `03`.

    Raises:
        ValueError: There are none, or none of one of the names.
    """
    found = sorted(folder.glob(PATTERN))
    if not found:
        raise ValueError(f"no notebooks here: {folder / PATTERN}")
    for name in names:
        if not any(path.name.startswith(Path(name).name) for path in found):
            raise ValueError(f"no notebook begins with {name!r}; there are: {', '.join(path.stem for path in found)}")
    return [path for path in found if not names or any(path.name.startswith(Path(name).name) for name in names)]


RECORD = Path("results") / "timings.json"  # beside notebooks/; the README's minutes come from it


def record(path: Path, profile: str, run: Run) -> None:
    """Add a run to `timings.json`, in the place of an earlier one of the same notebook."""
    with FileLock(cache_folder() / "timings.lock"):  # else of two runs at once, one loses what the other adds
        runs = {}
        if path.exists():
            runs = {entry["name"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))["notebooks"]}
        runs[run.name] = asdict(run) | {"machine": machine()}
        notebooks = [runs[name] for name in sorted(runs)]
        write_text(path, json.dumps({"profile": profile, "notebooks": notebooks}, indent=1) + "\n")


def machine() -> dict:
    """What the times depend on, without naming the machine."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
    }


def as_time(seconds: float) -> str:
    """Minutes and seconds, as `2:05`."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02d}"


def as_memory(mib: float) -> str:
    """As `512 MiB`, or `1.5 GiB` from 1024 MiB up."""
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status: 1 if any notebook failed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", help="how the wanted notebooks' file names begin; all if none is given")
    parser.add_argument("--folder", type=Path, default=ROOT / "notebooks", help="where the notebooks are")
    parser.add_argument("--out", type=Path, default=ROOT / "executed", help="where the executed copies go")
    parser.add_argument("--write", action="store_true", help="also write the outputs back into the notebooks")
    parser.add_argument("--compare", action="store_true", help="fail if the numbers are not the committed ones")
    options = parser.parse_args(arguments)
    try:
        profile = get_profile()
        paths = find(options.folder.resolve(), options.names)
        if (options.write or options.compare) and profile != DEFAULT:
            raise ValueError("the outputs to commit are the default profile's, without own data or LLM")
    except ValueError as fault:
        parser.error(str(fault))

    copies = options.out.resolve() / profile.name
    width = max(len(path.stem) for path in paths)
    print(f"profile {profile.name}\n\n{'notebook':<{width}}  {'time':>6}  {'peak memory':>11}  outcome", flush=True)
    runs, failed = [], 0
    for path in paths:
        run, notebook = execute(path)
        save(copies / path.name, notebook)
        record(copies / "timings.json", profile.name, run)
        if options.write and not run.error:
            save(path, notebook)
            record(path.parent.parent / RECORD, profile.name, run)
        outcome = f"FAILED  {run.error}".splitlines()[0] if run.error else "ok"
        if options.compare and not run.error:
            outcome = _compared(path, notebook)
        print(f"{run.name:<{width}}  {as_time(run.seconds):>6}  {as_memory(run.peak_mib):>11}  {outcome}", flush=True)
        runs.append(run)
        failed += outcome.startswith("FAILED")
    total, peak = as_time(sum(run.seconds for run in runs)), as_memory(max(run.peak_mib for run in runs))
    print(f"{'in all':<{width}}  {total:>6}  {peak:>11}  {len(runs) - failed} ok, {failed} failed")
    print(f"\nexecuted copies and timings.json: {os.path.relpath(copies)}")
    return 1 if failed else 0


def _compared(path: Path, executed) -> str:
    import nbformat

    found = compare(nbformat.read(path, as_version=4), executed)
    told = f"{found.same} lines of numbers as committed, {found.near} near, {len(found.far)} other"
    return "ok  " * found.agrees + "FAILED  " * (not found.agrees) + "\n    ".join([told, *found.far])


if __name__ == "__main__":
    sys.exit(main())
