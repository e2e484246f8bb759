"""Run the benchmarks, all or the named ones, and record them: `python -m benchmarks.run [training encoding ...]`."""

import importlib
import sys

from benchmarks.goals import missed
from pplug.study.records import environment, save_record

NAMES = ("training", "chat_training", "encoding", "serving", "users", "sizes")


def main(names: list[str]) -> None:
    """Run benchmarks; each writes `results/benchmarks/<name>.json`.

    Raises:
        SystemExit: A name is not that of a benchmark.
    """
    if unknown := set(names) - set(NAMES):
        raise SystemExit(f"no benchmark is called {sorted(unknown)[0]!r}; there are: {', '.join(NAMES)}")
    for name in names or NAMES:
        rows = importlib.import_module(f"benchmarks.{name}").rows()
        for row in rows:
            goal = f"to reach: {row['goal'] or '–'}{missed(row)}"
            print(f"{row['what']}: {row['value']:.3g}  ({goal})  {row['detail']}", flush=True)
        save_record({"rows": rows, **environment()}, "benchmarks", name)


if __name__ == "__main__":
    main(sys.argv[1:])
