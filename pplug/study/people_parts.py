"""`python -m pplug people`: the parts of the study of real people, each of which writes its records."""

import functools
import time
from collections.abc import Callable

from pplug.study.asked import NONE, asked_in_words, asked_on_test, asked_to_write, asked_with_cache, summary
from pplug.study.people import (
    CROWD,
    PAPER,
    PROMPT_TUNING,
    SEEDS,
    SHUFFLED,
    SIMULATED,
    WHO,
    WORDED,
    WORDED_CROWD,
    People,
    Trained,
    bare_llm,
    prepared_people,
    settings,
    simulated_people,
    trained,
)
from pplug.study.people_adapters import ADAPTERS, asked_with_adapters
from pplug.study.people_variants import (
    VARIANTS,
    encoders_compared,
    poolings_compared,
    task_asked,
)
from pplug.study.records import environment, save_record

GROUP, WORDS_GROUP, REPLIES_GROUP, CACHE_GROUP = "people", "people-words", "people-replies", "people-cache"
ABLATED = "LaMP-3"  # the simulated task of the ablation of poolings: where the stand-in's depends on them
Log = Callable[[str], None]


@functools.cache
def _people() -> People:
    return prepared_people()


def _plugs(seed: int, log: Log) -> Trained:
    rows = [(row, seed) for row in (CROWD, PAPER, PROMPT_TUNING)]
    return trained(_people(), rows + [(SHUFFLED, seed)] * (seed == SEEDS[0]), log)


def _save(record: dict, group: str, name: str) -> None:
    save_record(record | environment(), group, name)


def _seed(seed: int, log: Log) -> None:
    done, about = _plugs(seed, log), settings(_people()) | {"seed": seed}
    models = {row: model for (row, _), model in done.models.items()}
    found = asked_on_test(_people(), models, seed)
    _save(about | {"curves": done.curves} | found, GROUP, f"test-s{seed}")
    log(f"seed {seed}: {summary(found)}")
    if seed == SEEDS[0]:
        _save(about | asked_to_write(_people(), models, seed), REPLIES_GROUP, f"test-s{seed}")
        beside = {NONE: bare_llm()} | {row: models[row] for row in (PROMPT_TUNING, CROWD)}
        found = asked_with_cache(_people().known(), beside)
        _save(about | found, CACHE_GROUP, f"test-s{seed}")
        log(f"with a cache of the own words, {found['shares']}: {summary(found)}")


def _words(log: Log) -> None:
    seed = SEEDS[0]
    done = trained(_people(), [(WORDED, seed), (WORDED_CROWD, seed)], log)
    found = asked_in_words(_people(), {row: model for (row, _), model in done.models.items()})
    _save(settings(_people()) | {"seed": seed} | found, WORDS_GROUP, f"test-s{seed}")
    log(f"in words: {summary(found)}")


def _adapters(log: Log) -> None:
    seed = SEEDS[0]
    tuned = _plugs(seed, log).models[PROMPT_TUNING, seed]
    _save(settings(_people()) | {"seed": seed} | asked_with_adapters(_people(), tuned, log), ADAPTERS, f"test-s{seed}")


def _variant(name: str, compare: Callable[[Log], dict], log: Log) -> None:
    found = compare(log)
    _save({"what": name} | found, VARIANTS, name)
    log(f"{name}: {summary(found)}")


PARTS: dict[str, Callable[[Log], None]] = {
    **{f"seed-{seed}": functools.partial(_seed, seed) for seed in SEEDS},
    "words": _words,
    "adapters": _adapters,
    "encoders": functools.partial(_variant, "encoders", encoders_compared),
    "poolings": functools.partial(_variant, "poolings", lambda log: poolings_compared(_people(), log)),
    f"poolings-{ABLATED}": functools.partial(
        _variant,
        f"poolings-{ABLATED}",
        lambda log: poolings_compared(simulated_people(ABLATED), log),
    ),
    WHO: functools.partial(_variant, WHO, lambda log: task_asked(prepared_people(WHO), log)),
    **{
        task: functools.partial(_variant, task, lambda log, task=task: task_asked(simulated_people(task), log))
        for task in SIMULATED
    },
}


def run_people(parts: list[str] | None = None, log: Log = print) -> None:
    """Train, ask, write the records; what was trained is not trained again, and a training goes on where it stopped.

    Args:
        parts: Names of `PARTS`; all of them if None or empty.
        log: Told how it goes.
    """
    start = time.perf_counter()

    def tell(line: str) -> None:
        log(f"{time.perf_counter() - start:.0f} s: {line}")

    for part in parts or PARTS:
        PARTS[part](tell)
        tell(f"{part}: done")
