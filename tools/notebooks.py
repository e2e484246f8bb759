"""Execute the notebooks and report what each one took: `python -m tools.notebooks [--write | --compare] [names ...]`.

The executed copies and `timings.json` go to `executed/<profile>/`, a failed notebook's copy with its error in it. With
`--write` the outputs also go back into `notebooks/`: those are the outputs to commit. Both are cleaned first, so that
two runs differ only where their results do. `--compare` says where they differ from the committed ones (`reruns.py`).
SIGINT, SIGTERM or SIGHUP ends the kernel and the run, with what was done so far reported.
"""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

import nbformat
from filelock import FileLock

from pplug.base.files import cache_folder, write_text
from pplug.config import DEFAULT, get_profile
from tools.execution import Ending, Run, execute, heeding_signals
from tools.reruns import compare

ROOT = Path(__file__).resolve().parent.parent
PATTERN = "[0-9][0-9]_*.ipynb"
SHOWN = 200  # characters of an error in the table; all of it is in the executed copy


def save(path: Path, notebook) -> None:
    """Write a notebook, all of it or nothing."""
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


STARTED, NEW = "PPLUG_STARTED", ROOT / ".venv" / ".new"  # when `make` began, seconds since 1970; when .venv was new
FROM_NOTHING = "seconds_from_nothing"
OLDER = "outputs-are-older"  # id of a cell at a lesson's top that says so; `--write` takes it out
RECORD = Path("results") / "timings.json"  # beside notebooks/; the README's minutes come from it


def record(path: Path, profile: str, run: Run, from_nothing: float | None = None) -> None:
    """Add a run to `timings.json`, in the place of an earlier one of the same notebook.

    Args:
        path: The file.
        profile: The profile's name.
        run: What to add.
        from_nothing: From `since_command`; what an earlier run told stays if it is None.
    """
    with FileLock(cache_folder() / "timings.lock"):  # else of two runs at once, one loses what the other adds
        runs = {}
        if path.exists():
            runs = {entry["name"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))["notebooks"]}
        from_nothing = from_nothing or runs.get(run.name, {}).get(FROM_NOTHING)
        more = {FROM_NOTHING: round(from_nothing, 1)} if from_nothing else {}
        runs[run.name] = asdict(run) | {"machine": machine()} | more
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


def since_command(new: Path = NEW) -> float | None:
    """Seconds since the command was typed, if that command also set everything up from nothing; else None."""
    started = float(os.environ.get(STARTED) or "inf")
    return time.time() - started if new.exists() and new.stat().st_mtime >= started else None


def as_time(seconds: float) -> str:
    """Minutes and seconds, as `2:05`."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02d}"


def as_memory(mib: float) -> str:
    """As `512 MiB`, or `1.5 GiB` from 1024 MiB up."""
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status, see `run_all`."""
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

    with heeding_signals() as ending:
        return run_all(paths, profile.name, options, ending)


def run_all(paths: list[Path], profile: str, options: argparse.Namespace, ending: Ending) -> int:
    """Execute notebooks, print a line on each and write what came of it.

    Args:
        paths: The notebooks.
        profile: The profile's name.
        options: `out`, `write` and `compare` of the command line.
        ending: What notes signals: after one, the notebook that runs counts as failed and the others are left.

    Returns:
        The exit status: 0, 1 if any notebook failed, 128 + the signal's number if one ended the run.
    """
    copies = options.out.resolve() / profile
    width = max(len(path.stem) for path in paths)
    print(f"profile {profile}\n\n{'notebook':<{width}}  {'time':>6}  {'peak memory':>11}  outcome", flush=True)
    runs, failed = [], 0
    for path in paths:
        if ending.number:
            break
        run, notebook = execute(path, ending)
        from_nothing = None if runs or run.error else since_command()
        save(copies / path.name, notebook)
        record(copies / "timings.json", profile, run, from_nothing)
        if options.write and not run.error:
            notebook.cells = [cell for cell in notebook.cells if cell.get("id") != OLDER]
            save(path, notebook)
            record(path.parent.parent / RECORD, profile, run, from_nothing)
        outcome = f"FAILED  {run.error}".splitlines()[0][:SHOWN] if run.error else "ok"
        if options.compare and not run.error:
            outcome = _compared(path, notebook)
        print(f"{run.name:<{width}}  {as_time(run.seconds):>6}  {as_memory(run.peak_mib):>11}  {outcome}", flush=True)
        if from_nothing:
            print(f"{'':<{width}}  {as_time(from_nothing):>6} from the command to here, set-up included", flush=True)
        runs.append(run)
        failed += outcome.startswith("FAILED")
    total, peak = as_time(sum(run.seconds for run in runs)), as_memory(max((run.peak_mib for run in runs), default=0))
    left = f", {len(paths) - len(runs)} not run: ended by {ending.name}" if ending.number else ""
    print(f"{'in all':<{width}}  {total:>6}  {peak:>11}  {len(runs) - failed} ok, {failed} failed{left}")
    print(f"\nexecuted copies and timings.json: {os.path.relpath(copies)}", flush=True)
    return 128 + ending.number if ending.number else int(failed > 0)


def _compared(path: Path, executed) -> str:
    found = compare(nbformat.read(path, as_version=4), executed)
    told = f"{found.same} lines of numbers as committed, {found.near} near, {len(found.far)} other"
    return "ok  " * found.agrees + "FAILED  " * (not found.agrees) + "\n    ".join([told, *found.far])


if __name__ == "__main__":
    sys.exit(main())
