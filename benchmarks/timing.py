"""Time things side by side: a machine's pauses and warm-up then hit all of them alike."""

import statistics
import time
from collections.abc import Callable

REPEATS = 5


def alternate(variants: dict[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, float]:
    """Run each variant once to warm up, then all of them in turn, `repeats` times.

    Args:
        variants: Name → what to time.
        repeats: Rounds.

    Returns:
        Name → median of its seconds.
    """
    for run in variants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, run in variants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
