"""Real people and a real LLM: the plugs that `python -m pplug people` trains, and on what.

Prompt tuning comes first; from its soft tokens the plug and every control go on, together and on the same batches. So
the person is learnt on top of what everyone shares, and prompt tuning is trained as long as the rest. Then they are
asked (asked.py). What differs from the paper's form was chosen on dev (`results/people-tried`).
"""

import hashlib
import json
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from filelock import FileLock

from pplug.base import write_text
from pplug.config import CHATS, DEFAULT, Profile
from pplug.data import Data, examples_with_output, history_text, parse_input, retrieve, style_in_words
from pplug.method import (
    Example,
    PersonalizedLM,
    build,
    examples_hash,
    nats_together,
    prepare,
    read_plug,
    swap_histories,
    target_ids,
    train_together,
    with_prompts,
)
from pplug.rivals.inputs import ITEMS, put_in_prompt
from pplug.study.experiment import (
    available_tasks,
    get_encoder,
    get_llm,
    kept_at,
    llm_label,
    task_data,
    training_examples,
)

PROFILE = replace(
    DEFAULT, name="people", data=CHATS, llm="smollm2", encoder="smollm2:6+style", n_users=None, n_test=None
)
FIRST, STEPS, BATCH, RATE = 300, 400, 64, 2e-3  # minutes of a GPU, a night of two cores: it goes on where it stopped
SEEDS = (0, 1, 2)
WHO, SIMULATED = f"{CHATS}-who", available_tasks(DEFAULT)  # tasks beside the chats
CROWD, PAPER, PROMPT_TUNING = "crowd plug", "PPlug", "prompt tuning"
SHUFFLED = "shuffled users"
WORDED, WORDED_CROWD = f"{PROMPT_TUNING}, the person in words", f"{CROWD}, the person in words"
TOKENS = {"soft_tokens": 4, "before": "answer", "with_label": False}
_CROWD = TOKENS | {"crowd": True, "pooling": "mean", "dropout": 0.3}
_TUNED = TOKENS | {"crowd": True, "user": False}
CHOICES: dict[str, dict] = {
    CROWD: _CROWD,
    PAPER: TOKENS,
    PROMPT_TUNING: _TUNED,
    SHUFFLED: _CROWD,
    WORDED: _TUNED,
    WORDED_CROWD: _CROWD,
}
HABITS_SAID = "habits in words"
ITEMS_SAID = {n: f"{n} item{'s' * (n > 1)} in the prompt" for n in ITEMS}
IN_WORDS = [HABITS_SAID, *ITEMS_SAID.values()]  # what a prompt can say of a person


@dataclass(frozen=True, eq=False)
class People:
    """The chats, prepared for the LLM, with the habits beside the encoder's numbers.

    Attributes:
        data: The chats as a task's data.
        questions: Split → its questions as they stand in the data; of *train* with history items as further ones.
        examples: Split → the same, prepared.
    """

    data: Data
    questions: dict[str, list[dict]]
    examples: dict[str, list[Example]]

    def users(self, split: str) -> list[str]:
        """Whose question each is."""
        return [question["user_id"] for question in self.questions[split]]

    def known(self) -> "People":
        """Only test questions of people who are trained on: newcomers are left out."""
        trained_on = set(self.users("train"))
        rows = [row for row, user in enumerate(self.users("test")) if user in trained_on]
        some = (own | {"test": [own["test"][row] for row in rows]} for own in (self.questions, self.examples))
        return People(self.data, *some)

    @cached_property
    def anothers_replies(self) -> list[Example]:
        """The test questions with another person's reply, on the same conversation prompt, in place of the true one."""
        who = task_data(WHO, PROFILE)
        pairs = {question["id"]: question for question in who.splits["test"]}
        tokenizer, changed = get_llm(PROFILE.llm)[1], []
        for asked, example in zip(self.questions["test"], self.examples["test"], strict=True):
            question = pairs[asked["id"]]
            slots = parse_input(who.task, question["input"])
            pair, place = (slots["first"], slots["second"]), who.task.labels.index(question["output"])
            if pair[place] != asked["output"]:
                raise ValueError(f"{question['id']}: expected the true reply in place {place}")
            changed.append(replace(example, target_ids=target_ids(tokenizer, pair[1 - place], False)))
        return changed

    def in_words(self, split: str) -> dict[str, list[Example]]:
        """A split's questions with the person in the prompt, as text: one or four items, or habits in a sentence."""
        questions, examples = self.questions[split], self.examples[split]
        reader = made_plug(self.data, CHOICES[PROMPT_TUNING], 0)
        best = list(retrieve("BM25", self.data, questions, examples))
        found = {
            name: put_in_prompt(reader, self.data, questions, examples, [rows[:n] for rows in best])
            for n, name in ITEMS_SAID.items()
        }
        items = self.data.items
        replies = [[history_text(self.data.task, items[row], False) for row in q["profile"]] for q in questions]
        said = [style_in_words(texts) for texts in replies]
        prompts = [f"{habits}\n{q['input']}".strip() for habits, q in zip(said, questions, strict=True)]
        return found | {HABITS_SAID: with_prompts(reader, examples, prompts)}

    def given(self, split: str, row: str, seed: int) -> list[Example]:
        """What a row's plug is trained on, or asked on dev: the same questions, in the order of the split."""
        if row == SHUFFLED and split == "train":
            return swap_histories(self.examples[split], self.users(split), seed)
        if row in (WORDED, WORDED_CROWD):
            rng, ways = random.Random(seed), list(self.in_words(split).values())
            return [rng.choice(ways)[number] for number in range(len(self.examples[split]))]
        return self.examples[split]


def prepared_people(task: str = CHATS, profile: Profile | None = None, data: Data | None = None) -> People:
    """Read, encode and tokenise what is trained on and what is asked.

    Args:
        task: The chats, or another task.
        profile: Of data, LLM and encoder; the study's if None.
        data: The task's data where it is known.
    """
    profile = profile or PROFILE
    data = data or task_data(task, profile)
    asked = {split: examples_with_output(data, split) for split in ("dev", "test")}
    questions = {"train": training_examples(data)} | asked
    reader = made_plug(data, CHOICES[CROWD], 0, profile.encoder)
    return People(data, questions, {split: prepare(reader, data, some) for split, some in questions.items()})


def simulated_people(task: str) -> People:
    """The simulated users of one of LaMP's tasks, prepared for the study's LLM and encoder."""
    return prepared_people(task, replace(DEFAULT, llm=PROFILE.llm, encoder=PROFILE.encoder))


def made_plug(data: Data, choices: dict, seed: int, encoder: str | None = None) -> PersonalizedLM:
    """A new plug in front of the LLM."""
    (llm, tokenizer), encoder = get_llm(PROFILE.llm), get_encoder(encoder or PROFILE.encoder)
    facts = {"task": data.task.to_json(), "llm": PROFILE.llm, "encoder": encoder.name, "data_hash": data.hash}
    torch.manual_seed(seed)
    return build(llm, tokenizer, encoder, None, facts, **choices)


def bare_llm() -> PersonalizedLM:
    """The LLM as it is."""
    return PersonalizedLM(*get_llm(PROFILE.llm))


def settings(people: People) -> dict:
    """What a record says of the study: data, LLM, encoder, plugs, and how they are trained."""
    about = {"task": people.data.task.name, "simulated": people.data.factors is not None, "data_hash": people.data.hash}
    about |= {"llm": llm_label(PROFILE.llm), "encoder": PROFILE.encoder, "choices": CHOICES}
    about |= {"first": FIRST, "steps": STEPS, "batch_size": BATCH, "learning_rate": RATE}
    return about | {"training_questions": len(people.questions["train"])}


@dataclass(frozen=True)
class Trained:
    """Plugs that were trained together.

    Attributes:
        models: Key → model, in half precision, as it is kept.
        curves: `losses`: key → nats per token of each step's batch; `dev`: step → of each key nats per token on dev.
    """

    models: dict
    curves: dict


def trained(people: People, rows: list[tuple[str, int]], log: Callable[[str], None]) -> Trained:
    """Prompt tuning of each seed, then from there the plugs of some rows together.

    Args:
        people: From `prepared_people`.
        rows: Row and seed of each.
        log: Told how it goes.

    Returns:
        (row, seed) → model.
    """
    firsts = prompt_tunings(people, sorted({seed for _, seed in rows}), log)
    models = {(row, seed): made_plug(people.data, CHOICES[row], seed) for row, seed in rows}
    for (_, seed), model in models.items():
        model.plug.begin_from(firsts[seed].plug)
    examples, dev = ({key: people.given(split, *key) for key in models} for split in ("train", "dev"))
    return fit_together(models, examples, dev, log)


def prompt_tunings(
    people: People, seeds: list[int], log: Callable[[str], None], steps: int | None = None, batch: int | None = None
) -> dict[int, PersonalizedLM]:
    """Seed → the prompt tuning that all plugs of that seed begin from; steps and batch are the study's if None."""
    models = {seed: made_plug(people.data, CHOICES[PROMPT_TUNING], seed) for seed in seeds}
    examples, dev = (dict.fromkeys(models, people.examples[split]) for split in ("train", "dev"))
    return fit_together(models, examples, dev, log, steps or FIRST, batch).models


def fit_together(
    models: dict,
    examples: dict,
    dev: dict,
    log: Callable[[str], None],
    steps: int | None = None,
    batch: int | None = None,
) -> Trained:
    """Train plugs together, or load them if these very ones were trained before.

    Args:
        models: Key → model; each begins with the weights it has.
        examples: Key → what it is trained on: the same questions for all.
        dev: Key → what it is asked ten times on the way; likewise.
        log: Told how it goes.
        steps: Optimiser steps; the study's if None.
        batch: Questions a step; the study's if None.
    """
    steps, batch = steps or STEPS, batch or BATCH
    known: dict[int, str] = {}
    for some in (*examples.values(), *dev.values()):
        known.setdefault(id(some), examples_hash(some))
    told = [[asdict(m.plug.config), weights_hash(m)] for m in models.values()]
    told += [[known[id(examples[key])], known[id(dev[key])]] for key in models]
    folder = kept_at("people", [*told, steps, batch, RATE, llm_label(PROFILE.llm)])
    paths = {key: folder / f"{number}" for number, key in enumerate(models)}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):  # of several parts that need these plugs one trains them
        if not (folder / "curves.json").exists():
            _fit(models, examples, dev, (steps, batch), folder, log)
    for key, path in paths.items():
        models[key].load_state_dict(read_plug(path / "plug.safetensors")[2])
        models[key].eval()
    return Trained(models, json.loads((folder / "curves.json").read_text()))


def _fit(
    models: dict, examples: dict, dev: dict, size: tuple[int, int], folder: Path, log: Callable[[str], None]
) -> None:
    start, on_dev, is_gpu, (steps, batch) = time.perf_counter(), {}, torch.cuda.is_available(), size

    def watch(step: int, losses: list[float]) -> None:
        nats, tokens = nats_together([*models.values()], [*dev.values()], 2 * batch if is_gpu else 16)
        on_dev[step] = (nats.sum(axis=1) / tokens.sum()).round(4).tolist()
        shown = zip(models, losses, on_dev[step], strict=True)
        log(f"step {step}: " + ", ".join(f"{key} {loss:.3f} dev {found:.4f}" for key, loss, found in shown))

    options = {"at_once": None if is_gpu else 3, "folder": folder / "training", "watch": watch}
    losses = train_together([*models.values()], [*examples.values()], steps, batch, RATE, **options)
    log(f"{len(models)} plugs, {steps} steps of {batch}: {time.perf_counter() - start:.0f} s")
    for number, model in enumerate(models.values()):
        model.save_pretrained(folder / f"{number}", half=True)
    rounded = [[round(loss, 3) for loss in curve] for curve in losses]
    curves = {"losses": dict(zip(map(str, models), rounded, strict=True)), "dev": on_dev}
    write_text(folder / "curves.json", json.dumps(curves))  # last: then all of it is there
    shutil.rmtree(folder / "training", ignore_errors=True)


def weights_hash(model: PersonalizedLM) -> str:
    """Hash of a plug's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
