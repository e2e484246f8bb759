"""One cell of any experiment: data, a trained plug, its evaluation with controls, a run record. Compute or load.

Notebooks and `python -m pplug grid` call the same functions, so a record and a notebook cell mean the same thing.
"""

import functools
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from pplug.base.errors import DataError, InputError
from pplug.base.files import PACKAGE, cache_folder, file_hash, write_text
from pplug.config import Profile
from pplug.data.intervals import bootstrap_corpus
from pplug.data.loading import Data, held_out_examples, load
from pplug.data.metrics import example_scores
from pplug.data.subset import subset
from pplug.data.tasks import TASKS, Task, get_task, task_fact
from pplug.method.batches import prepare
from pplug.method.encoders import Encoder, load_encoder
from pplug.method.llm import SHIPPED, load_llm
from pplug.method.model import PersonalizedLM, build
from pplug.method.training import train
from pplug.offline.simulate import simulate
from pplug.rivals.variants import VARIANTS
from pplug.study.controls import INSTRUCTION, OTHER, PLUG, controls
from pplug.study.records import environment, gains, save_record

SIMULATED_SEED = 2024  # of the experiments' users; the stand-in's own training users have another
SOURCES = [
    PACKAGE / f"{name}.py"
    for name in (
        "method/embedder",
        "method/plug_config",
        "method/model",
        "method/llm",
        "method/prompts",
        "method/batches",
        "method/training",
        "data/tasks",
        "data/retrieval",
        "rivals/variants",
    )
]

get_encoder = functools.cache(load_encoder)
get_llm = functools.cache(load_llm)


@functools.cache
def llm_fingerprint(name: str) -> str:
    """What tells one frozen LLM from another in records and cache keys: its name and, for local weights, their hash."""
    folder = SHIPPED if name == "standin" else Path(name)
    weights = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    return f"{folder.name if weights else name}{'@' + file_hash(*weights)[:12] if weights else ''}"


def available_tasks(profile: Profile) -> list[str]:
    """The tasks there is data for: all six, or those in the profile's own data folder.

    Raises:
        DataError: There is none in that folder.
    """
    if profile.data is None:
        return list(TASKS)
    found = [task for task in TASKS if _own_folder(profile, task).is_dir()]
    if not found:
        raise DataError(
            f"{profile.data}: no LaMP_1, LaMP_2, ... here: fetch LaMP by `python -m pplug download all`, or set "
            "PPLUG_DATA to a folder that has one"
        )
    return found


def task_data(task: str, profile: Profile) -> Data:
    """The task's data: the profile's own folder, or simulated users, made once and kept in the cache."""
    if profile.data is not None:
        return subset(load(_own_folder(profile, task), task), profile.n_users)
    name = get_task(task).name
    made_by = (PACKAGE / "offline" / f"{name}.py" for name in ("simulate", "traits", "lexicon", "world"))
    source = file_hash(*made_by)[:8]
    folder = cache_folder() / "simulated" / f"{SIMULATED_SEED}-{profile.n_users}-{source}" / name
    if not (folder / "factors.json").exists():  # the file written last
        simulate(folder, name, profile.n_users, SIMULATED_SEED)
    return load(folder, name)


def _own_folder(profile: Profile, task: str) -> Path:
    """`<data>/LaMP_4`, with an underscore as LaMP's own downloads have it."""
    return Path(profile.data) / task.replace("-", "_")


def training_examples(data: Data, with_items: bool = True) -> list[dict]:
    """The train questions and, on request, the history items that can serve as questions.

    Raises:
        InputError: If the data has no train split, or not its outputs.
    """
    if "train" not in data.splits:
        raise InputError(f"{data.task.name}: no train_questions.json in this data, so there is nothing to train on")
    questions = data.splits["train"].to_list()
    if questions and questions[0]["output"] is None:
        raise InputError(f"{data.task.name}: no train_outputs.json in this data, so there is nothing to train on")
    return questions + (held_out_examples(data) if with_items else [])


def test_examples(data: Data, profile: Profile) -> list[dict]:
    """The questions to evaluate: the test split where its outputs are known (LaMP withholds them), else dev."""
    given = [split for split in ("test", "dev") if len(data.splits.get(split, []))]
    known = [split for split in given if data.splits[split][0]["output"] is not None]
    if not known:
        raise InputError(f"{data.task.name}: no dev or test questions with outputs to evaluate on")
    return data.splits[known[0]].to_list()[: profile.n_test]


@dataclass(frozen=True)
class Fitted:
    """A trained plug in front of its LLM, its loss curve, and the seconds its training took."""

    model: PersonalizedLM
    curve: list[dict]
    seconds: float


def fit(task: str, profile: Profile, seed: int = 0, variant: str = "", **choices) -> Fitted:
    """Train a plug, or load it if this very one was trained before.

    Args:
        task: The task's name.
        profile: How much to train, on which LLM and encoder.
        seed: Of initialisation, order and subsampling.
        variant: What is changed in the examples, a name in `variants.VARIANTS`; nothing if empty.
        **choices: Fields of `PlugConfig` that differ from the profile's.

    Returns:
        The plug with its loss curve.
    """
    data = task_data(task, profile)
    llm, tokenizer = get_llm(profile.llm, profile.sharded)
    encoder: Encoder = get_encoder(profile.encoder)
    choices = {"soft_tokens": profile.n_soft_tokens, "train_input_encoder": profile.train_input_encoder} | choices
    facts = {"task": task_fact(data.task), "llm": profile.llm, "encoder": profile.encoder, "data_hash": data.hash}
    torch.manual_seed(seed)
    model = build(llm, tokenizer, encoder, None, facts, **choices)
    model.checkpointing = profile.checkpointing
    key = [data.hash, encoder.key, llm_fingerprint(profile.llm), sorted(choices.items()), seed, file_hash(*SOURCES)]
    key += [profile.steps, profile.epochs, profile.batch_size, profile.learning_rate, variant]
    key += [profile.items_as_questions]
    folder = cache_folder() / "plugs" / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]
    if (folder / "curve.json").exists():  # the file written last
        known = json.loads((folder / "curve.json").read_text())
        from safetensors.torch import load_file

        model.load_state_dict(load_file(folder / "plug.safetensors"))
        return Fitted(model.eval(), known["curve"], known["seconds"])
    examples = training_examples(data, profile.items_as_questions)
    dev = data.splits["dev"].to_list()[: profile.n_test] if "dev" in data.splits else []
    steps = profile.steps or max(1, epochs(data.task, profile) * len(examples) // profile.batch_size)
    change = VARIANTS[variant] if variant else lambda *given: given[3]
    prepared, dev_prepared = (change(model, data, some, prepare(model, data, some), seed) for some in (examples, dev))
    start = time.perf_counter()
    sizes = {"batch_size": profile.batch_size, "micro_batch": profile.micro_batch}
    curve = train(model, prepared, dev_prepared, steps, learning_rate=profile.learning_rate, seed=seed, **sizes)
    seconds = time.perf_counter() - start
    model.save_pretrained(folder)
    write_text(folder / "curve.json", json.dumps({"curve": curve, "seconds": seconds}))
    return Fitted(model, curve, seconds)


def epochs(task: Task, profile: Profile) -> int:
    """Passes over the train questions: the task's own number, or the profile's."""
    return task.epochs or profile.epochs


def evaluate_rows(task: str, profile: Profile, seed: int = 0, with_controls: bool = True, **choices) -> dict:
    """Train (or load) a plug and evaluate it, with every control or just the two that need this very plug.

    Returns:
        A record: see `run_cell`.
    """
    data = task_data(task, profile)
    examples = test_examples(data, profile)
    fitted = fit(task, profile, seed, **choices)
    instruction_only = fit(task, profile, seed, user=False).model if with_controls else None
    start = time.perf_counter()
    options = {"max_new_tokens": data.task.max_new_tokens, "num_beams": profile.beams}
    rows = controls(
        fitted.model, data, examples, instruction_only, seed, only=None if with_controls else (OTHER, PLUG), **options
    )
    golds = [example["output"] for example in examples]
    headline = data.task.metrics[0]
    return {
        "task": data.task.name,
        "profile": profile.name,
        "settings": asdict(profile),
        "simulated": data.factors is not None,
        "choices": choices,
        "seed": seed,
        "data_hash": data.hash,
        "encoder": profile.encoder,
        "llm": llm_fingerprint(profile.llm),
        "steps": fitted.curve[-1]["step"] if fitted.curve else 0,
        "seconds": {"train": round(fitted.seconds, 1), "evaluate": round(time.perf_counter() - start, 1)},
        "n": len(examples),
        "metrics": {
            row: bootstrap_corpus(data.task, texts, golds, profile.bootstrap // 4) for row, texts in rows.items()
        },
        "scores": {row: np.round(example_scores(data.task, t, golds)[headline], 4) for row, t in rows.items()},
        **environment(),
    }


def record_name(task: str, choices: dict, seed: int) -> str:
    """A record's file name without ending, e.g. `LaMP-4-pooling=mean-s0`."""
    return f"{task}-{'-'.join(f'{name}={value}' for name, value in sorted(choices.items())) or 'plug'}-s{seed}"


def run_cell(task: str, profile: Profile, seed: int, group: str, with_controls: bool = True, **choices) -> dict:
    """`evaluate_rows`, written to `results/<group>/`.

    Returns:
        The record: profile, task, data hash, encoder, LLM, seed, commit, versions, hardware, seconds, n, every row's
        metrics with intervals, and every row's headline score for each user, from which gains are tested.
    """
    record = evaluate_rows(task, profile, seed, with_controls, **choices)
    path = save_record(record, group, record_name(task, choices, seed))
    return json.loads(path.read_text())


def describe(record: dict) -> str:
    """One line on a record: the plug's score and what it gains over two controls, with intervals."""
    metric = get_task(record["task"]).metrics[0]
    over = {name: i for name, i in gains([record]).items() if name in (INSTRUCTION, OTHER)}
    told = "; ".join(f"{i.mean:+.3f} [{i.low:+.3f}, {i.high:+.3f}] over {name}" for name, i in over.items())
    return f"{record['task']} {metric} {np.mean(record['scores'][PLUG]):.3f}: {told}"
