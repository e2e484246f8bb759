"""What every experiment begins with: a task's data, and a trained plug, computed or loaded.

Notebooks and `python -m pplug compare` call the same functions, so a record and a notebook cell mean the same thing.
"""

import functools
import hashlib
import json
import logging
import os
import shutil
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock

from pplug.base import PACKAGE, DataError, InputError, cache_folder, file_hash, write_text
from pplug.config import CHATS, Profile, training_steps
from pplug.data import TASKS, Data, examples_with_output, get_task, held_out_examples, load, subset, task_fact
from pplug.method import (
    SHIPPED,
    Example,
    PersonalizedLM,
    build,
    encode_history,
    examples_hash,
    llm_fingerprint,
    llm_source,
    load_encoder,
    load_llm,
    prepare,
    train,
)
from pplug.offline.simulate import simulate
from pplug.rivals.inputs import CHANGES
from pplug.sources.chat import CHAT, chat_folder

SIMULATED_SEED = 2024  # of the experiments' users; the stand-in's own training users have another
TRAINING_FIELDS = ("batch_size", "micro_batch", "learning_rate", "checkpointing", "sharded")  # of a profile

get_encoder = functools.cache(load_encoder)


def get_llm(name: str, sharded: bool = False):
    """The frozen LLM and its tokenizer, loaded once, however it is asked for; see `load_llm`."""
    folder = Path(name).resolve()
    if name == "standin" or folder == SHIPPED:
        name = "standin"
    return _loaded_llm(str(folder) if name != "standin" and folder.is_dir() else name, bool(sharded))


@functools.cache
def _loaded_llm(name: str, sharded: bool):
    return load_llm(name, sharded=sharded)


@functools.cache
def llm_label(name: str) -> str:
    """What a record calls a frozen LLM: its name and, for local weights, the beginning of their hash."""
    folder = Path(llm_source(name))
    weights = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    return f"{folder.name if weights else name}{'@' + file_hash(*weights)[:12] if weights else ''}"


def available_tasks(profile: Profile) -> list[str]:
    """The tasks there is data for: all six, or those in the profile's own data folder.

    Raises:
        DataError: There is none in that folder.
    """
    if profile.data is None:
        return list(TASKS)
    if profile.data == CHATS:
        return [CHAT.name]
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
    """`<data>/LaMP_4`, with an underscore as LaMP's own downloads have it; the cache's, of the packaged chats."""
    if profile.data == CHATS:
        return chat_folder(task)
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
    examples = examples_with_output(data, "test") or examples_with_output(data, "dev")
    if not examples:
        raise InputError(f"{data.task.name}: no dev or test questions with outputs to evaluate on")
    return examples[: profile.n_test]


@dataclass(frozen=True)
class Fitted:
    """A trained plug in front of its LLM.

    Attributes:
        model: LLM and plug.
        curve: Of the loss, see `training.train`.
        seconds: Of its training, also where that was in an earlier run.
        key: Hash of everything that decides the plug's weights.
    """

    model: PersonalizedLM
    curve: list[dict]
    seconds: float
    key: str


def fit(task: str, profile: Profile, seed: int = 0, changed: str = "", **choices) -> Fitted:
    """Train a plug, or load it if this very one was trained before; a training that was killed goes on.

    Args:
        task: The task's name.
        profile: How much to train, on which LLM and encoder.
        seed: Of initialisation, order and subsampling.
        changed: What is changed in the examples, a name in `rivals.inputs.CHANGES`; nothing if empty.
        **choices: Fields of `PlugConfig` that differ from the profile's.

    Returns:
        The plug with its loss curve.
    """
    from safetensors.torch import load_file

    data = task_data(task, profile)
    model = new_plug(data, profile, seed, **choices)
    examples, dev = training_and_dev(data, profile)
    change = CHANGES[changed] if changed else lambda *given: given[3]
    encode_history(model, data)  # the whole table at once, so that a vector never depends on what is asked
    prepared, dev_prepared = (change(model, data, some, prepare(model, data, some), seed) for some in (examples, dev))
    steps = training_steps(profile, data.task, len(examples))
    key = plug_key(model, prepared, dev_prepared, profile, steps, seed)
    folder = cache_folder() / "plugs" / key[:20]
    unfinished = folder.with_name(f"{folder.name}-unfinished")
    # Of several runs that need this plug one trains it; the processes of one training must not wait for each other.
    is_shared = int(os.environ.get("WORLD_SIZE", 1)) > 1
    folder.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext() if is_shared else FileLock(folder.with_name(f"{folder.name}.lock")):
        if (folder / "curve.json").exists():  # the file written last
            known = json.loads((folder / "curve.json").read_text())
            model.load_state_dict(load_file(folder / "plug.safetensors"))
            return Fitted(model.eval(), known["curve"], known["seconds"], key)
        logging.getLogger("transformers.trainer_utils").setLevel(logging.ERROR)  # it warns of checkpoints close in time
        start, sizes = time.perf_counter(), {name: getattr(profile, name) for name in ("batch_size", "micro_batch")}
        options = {"learning_rate": profile.learning_rate, "seed": seed, "folder": unfinished, "resume": True}
        curve = train(model, prepared, dev_prepared, steps, **options, **sizes)
        seconds = time.perf_counter() - start
        model.save_pretrained(folder)
        write_text(folder / "curve.json", json.dumps({"curve": curve, "seconds": seconds}))
        shutil.rmtree(unfinished, ignore_errors=True)
        return Fitted(model, curve, seconds, key)


def new_plug(data: Data, profile: Profile, seed: int, **choices) -> PersonalizedLM:
    """An untrained plug in front of the profile's LLM; arguments as of `fit`."""
    (llm, tokenizer), encoder = get_llm(profile.llm, profile.sharded), get_encoder(profile.encoder)
    choices = {"soft_tokens": profile.n_soft_tokens, "train_input_encoder": profile.train_input_encoder} | choices
    facts = {"task": task_fact(data.task), "llm": profile.llm, "encoder": profile.encoder, "data_hash": data.hash}
    torch.manual_seed(seed)
    model = build(llm, tokenizer, encoder, None, facts, **choices)
    model.checkpointing = profile.checkpointing
    return model


def training_and_dev(data: Data, profile: Profile) -> tuple[list[dict], list[dict]]:
    """What a plug is trained on, and the dev questions of its dev loss; without outputs, dev questions are no use."""
    dev = examples_with_output(data, "dev")[: profile.n_test]
    return training_examples(data, profile.items_as_questions), dev


def plug_key(model, prepared: list[Example], dev: list[Example], profile: Profile, steps: int, seed: int) -> str:
    """Hash of everything that decides a plug's weights and its curve: what it reads, its choices, how it is trained."""
    settings = {name: getattr(profile, name) for name in TRAINING_FIELDS} | {"steps": steps, "seed": seed}
    parts = [
        asdict(model.plug.config),
        settings,
        llm_fingerprint(model.llm, model.tokenizer),
        model.encoder.key,
        [examples_hash(prepared), examples_hash(dev)],
        method_hash(),
        [model.llm.device.type, version("torch"), version("transformers")],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def method_hash() -> str:
    """Hash of the method's source: what it computed may be another as soon as that is."""
    return file_hash(*sorted((PACKAGE / "method").glob("*.py")))


def kept_at(kind: str, parts: list) -> Path:
    """Where something that was computed is kept in the cache, by all that decides it and the method's source."""
    key = hashlib.sha256(json.dumps([*parts, method_hash()]).encode()).hexdigest()
    return cache_folder() / kind / key[:20]
