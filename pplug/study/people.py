"""Real people and a real LLM: what a user's history is worth, in nats of the replies she truly wrote.

`python -m pplug people`: several plugs at equal training are compared on dev, the best one is trained with three seeds
beside its controls, and all of them are asked the test questions. One record a seed, and one of what was tried.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
import torch

from pplug.base import PACKAGE, cache_folder, file_hash
from pplug.config import CHATS, DEFAULT
from pplug.data import Data, parse_input
from pplug.method import (
    Example,
    PersonalizedLM,
    build,
    nats_together,
    prepare,
    read_plug,
    swap_histories,
    target_ids,
    target_nats,
    train_together,
)
from pplug.sources.chat import CHAT, WHO
from pplug.study.experiment import get_encoder, get_llm, llm_label, task_data, training_examples
from pplug.study.records import environment, save_record

PROFILE = replace(
    DEFAULT, name="people", data=CHATS, llm="smollm2", encoder="smollm2:6+style", n_users=None, n_test=None
)
STEPS, BATCH, RATE = 500, 32, 2e-3
SEEDS = (0, 1, 2)
LENGTHS = (0, 1, 2, 5, 10, 20)  # items of a shortened history
TOKENS = {"soft_tokens": 8, "before": "answer"}
CROWD = TOKENS | {"crowd": True, "pooling": "mean", "with_label": False}
NO_STYLE = "without the habits"  # the encoder's own numbers alone
PROMPT_TUNING, PPLUG, SHUFFLED, NONE = "prompt tuning", "PPlug", "shuffled users", "no personalisation"
TRIED: dict[str, dict] = {  # what is compared on dev
    PROMPT_TUNING: CROWD | {"user": False},
    PPLUG: TOKENS | {"with_label": False},
    "crowd": CROWD,
    "crowd, dropout .3": CROWD | {"dropout": 0.3},
    "crowd, dropout .5": CROWD | {"dropout": 0.5},
    "crowd, dropout .7": CROWD | {"dropout": 0.7},
    f"crowd, dropout .5, {NO_STYLE}": CROWD | {"dropout": 0.5},
    f"crowd, dropout .5, attention, {NO_STYLE}": CROWD | {"dropout": 0.5, "pooling": "attention"},
}
WITHOUT_HABITS = {PPLUG} | {name for name in TRIED if NO_STYLE in name}


@dataclass(frozen=True, eq=False)
class People:
    """The chats, prepared for the LLM: examples of each split, with the habits beside the encoder's numbers."""

    data: Data
    training: list[Example]
    dev: list[Example]
    test: list[Example]
    users: dict[str, list[str]]  # split → whose question each is

    @cached_property
    def anothers_replies(self) -> list[Example]:
        """The test questions with another person's reply, on the same conversation prompt, in place of the true one."""
        asked = task_data(WHO.name, PROFILE).splits["test"].to_list()[: len(self.test)]
        tokenizer, changed = get_llm(PROFILE.llm)[1], []
        for question, gold, example in zip(asked, self.golds, self.test, strict=True):
            slots = parse_input(WHO, question["input"])
            pair, place = (slots["first"], slots["second"]), WHO.labels.index(question["output"])
            if pair[place] != gold:
                raise ValueError(f"{question['id']}: expected the true reply in place {place}")
            changed.append(replace(example, target_ids=target_ids(tokenizer, pair[1 - place], False)))
        return changed

    @cached_property
    def plain_nats(self) -> tuple[np.ndarray, np.ndarray]:
        """Nats of the true replies and of another's, of the LLM as it is."""
        plain = PersonalizedLM(*get_llm(PROFILE.llm))
        return target_nats(plain, self.test, at_once())[0], target_nats(plain, self.anothers_replies, at_once())[0]

    @property
    def golds(self) -> list[str]:
        """The true replies of the test questions."""
        return self.data.splits["test"]["output"][: len(self.test)]


def at_once() -> int:
    """Questions in one batch of the test."""
    return 128 if torch.cuda.is_available() else 16


def prepared_people(n_test: int | None = None, n_training: int | None = None) -> People:
    """Read, encode and tokenise all of it; on request only the first so many questions."""
    data = task_data(CHAT.name, PROFILE)
    asked = {
        "train": training_examples(data)[:n_training],
        "dev": data.splits["dev"].to_list()[:n_test],
        "test": data.splits["test"].to_list()[:n_test],
    }
    reader = made_plug(data, CROWD, 0)
    ready = {split: prepare(reader, data, examples) for split, examples in asked.items()}
    users = {split: [example["user_id"] for example in examples] for split, examples in asked.items()}
    return People(data, ready["train"], ready["dev"], ready["test"], users)


def made_plug(data: Data, choices: dict, seed: int, with_habits: bool = True) -> PersonalizedLM:
    """A new plug in front of the LLM."""
    (llm, tokenizer), encoder = get_llm(PROFILE.llm), get_encoder(PROFILE.encoder)
    if not with_habits:
        encoder = replace(encoder, name=encoder.plain_name, width=encoder.model_width, habits=0)
    facts = {"task": CHAT.to_json(), "llm": PROFILE.llm, "encoder": encoder.name, "data_hash": data.hash}
    torch.manual_seed(seed)
    return build(llm, tokenizer, encoder, None, facts, **choices)


def seen_by(model: PersonalizedLM, examples: list[Example]) -> list[Example]:
    """The examples as a plug reads them: without the habits where its encoder has none."""
    width = model.plug.config.encoder_width
    if all(example.history.shape[1] == width for example in examples):
        return examples
    return [replace(e, history=e.history[:, :width], query=e.query[:width]) for e in examples]


def trained(
    people: People, rows: dict[tuple[str, int], dict], order: int, log: Callable[[str], None], steps: int = STEPS
) -> dict[tuple[str, int], PersonalizedLM]:
    """Train plugs together, or load them if these very ones were trained before.

    Args:
        people: From `prepared_people`.
        rows: (row, seed) → the plug's choices. Of the row `SHUFFLED`, each question has another user's history.
        order: Seed of the order in which all of them see the questions.
        log: Told how long it took.
        steps: Optimiser steps.

    Returns:
        (row, seed) → the trained model.
    """
    models = {
        key: made_plug(people.data, choices, key[1], key[0] not in WITHOUT_HABITS) for key, choices in rows.items()
    }
    told = [[asdict(m.plug.config) for m in models.values()], list(rows), order, steps, BATCH, RATE, people.data.hash]
    told += [len(people.training), file_hash(*sorted((PACKAGE / "method").glob("*.py")))]
    folder = cache_folder() / "people" / hashlib.sha256(json.dumps(told).encode()).hexdigest()[:20]
    paths = {key: folder / f"{number}" for number, key in enumerate(models)}
    if all((path / "done").exists() for path in paths.values()):
        for key, path in paths.items():
            models[key].load_state_dict(read_plug(path / "plug.safetensors")[2])
        return models
    own = {True: people.training}
    own[False] = seen_by(
        next((m for k, m in models.items() if k[0] in WITHOUT_HABITS), next(iter(models.values()))), own[True]
    )
    shuffled = swap_histories(people.training, people.users["train"], order)
    examples = [shuffled if key[0] == SHUFFLED else own[key[0] not in WITHOUT_HABITS] for key in models]
    start = time.perf_counter()
    train_together([*models.values()], examples, steps, BATCH, RATE, order)
    log(f"{len(models)} plugs, {steps} steps of {BATCH}: {time.perf_counter() - start:.0f} s")
    for key, path in paths.items():
        models[key].save_pretrained(path)
        (path / "done").touch()
    return models


def compared_on_dev(people: People, models: dict[tuple[str, int], PersonalizedLM]) -> dict[str, dict[str, float]]:
    """Each row's nats per token on dev: with the own history and, of a plug that reads one, with another user's."""
    others = swap_histories(people.dev, people.users["dev"], 0)
    asked = [(name, "own", model, people.dev) for (name, _), model in models.items()]
    asked += [(name, "another's", model, others) for (name, _), model in models.items() if model.plug.config.user]
    nats, tokens = nats_together([a[2] for a in asked], [seen_by(a[2], a[3]) for a in asked])
    found: dict[str, dict[str, float]] = {}
    for (name, whose, *_), each in zip(asked, nats, strict=True):
        found.setdefault(name, {})[whose] = round(float(each.sum() / tokens.sum()), 4)
    return found


def best(dev: dict[str, dict[str, float]]) -> str:
    """The row of the crowd's form with the least nats on dev."""
    return min((name for name in dev if name.startswith("crowd")), key=lambda name: dev[name]["own"])


def run(log: Callable[[str], None] = print) -> None:
    """Try, choose, train three seeds, ask the test questions, write the records."""
    start = time.perf_counter()

    def tell(line: str) -> None:
        log(f"{time.perf_counter() - start:.0f} s: {line}")

    people = prepared_people()
    tell(f"{len(people.training)} training questions, {len(people.dev)} of dev, {len(people.test)} of test")
    models = trained(people, {(name, 0): choices for name, choices in TRIED.items()}, 0, tell)
    dev = compared_on_dev(people, models)
    chosen = best(dev)
    about = {"task": CHAT.name, "simulated": False, "data_hash": people.data.hash, "llm": llm_label(PROFILE.llm)}
    about |= {"encoder": PROFILE.encoder, "steps": STEPS, "batch_size": BATCH, "learning_rate": RATE, "chosen": chosen}
    save_record(about | {"choices": TRIED, "dev": dev} | environment(), "people", "tried")
    tell(f"on dev {dev}; chosen: {chosen}")
    wanted = {(name, seed): TRIED[name] for seed in SEEDS[1:] for name in (chosen, PROMPT_TUNING, PPLUG)}
    wanted[SHUFFLED, 0] = TRIED[chosen]
    models |= trained(people, wanted, 1, tell)
    for seed in SEEDS:
        found = asked_on_test(people, {name: m for (name, s), m in models.items() if s == seed}, chosen, seed)
        save_record(about | {"seed": seed} | found | environment(), "people", f"test-s{seed}")
        tell(f"seed {seed}: {summary(found)}")


def asked_on_test(people: People, models: dict[str, PersonalizedLM], chosen: str, seed: int) -> dict:
    """Every row's nats of each test user's true replies, and how often it finds out who wrote one.

    Args:
        people: From `prepared_people`.
        models: Row → model, of one seed.
        chosen: The row with every control.
        seed: Of whose history another user gets.

    Returns:
        Plain values, a list over users for each: `trained` (or a newcomer), `items` of history, `questions`, `tokens`,
        `letters`; `nats`: row → sums; `who`: row → how many questions are right.
    """
    others = others_of_their_kind(people, seed)
    asked = {"own": (models[chosen], people.test), "another's": (models[chosen], others)}
    asked[PROMPT_TUNING] = (models[PROMPT_TUNING], people.test)
    who = dict(asked)
    asked |= {PPLUG: (models[PPLUG], people.test), f"{PPLUG}, another's": (models[PPLUG], others)}
    if SHUFFLED in models:
        asked[SHUFFLED] = (models[SHUFFLED], people.test)
    for n in LENGTHS:
        asked[f"{n} items"] = (
            models[chosen],
            [replace(e, history=e.history[len(e.history) - min(n, len(e.history)) :]) for e in people.test],
        )
    nats, tokens = _nats(asked)
    anothers = [example.target_ids for example in people.anothers_replies]
    who = {
        name: (m, [replace(e, target_ids=t) for e, t in zip(ex, anothers, strict=True)])
        for name, (m, ex) in who.items()
    }
    theirs, their_tokens = _nats(who)
    nats[NONE], theirs[NONE] = people.plain_nats
    right = {name: nats[name] / tokens < theirs[name] / their_tokens for name in theirs}
    for name in ("own", "another's"):  # what the user adds to what everyone is given
        gains = [(all_[PROMPT_TUNING] - all_[name]) / n for all_, n in ((nats, tokens), (theirs, their_tokens))]
        right[f"{name} against {PROMPT_TUNING}"] = gains[0] > gains[1]
    names = list(dict.fromkeys(people.users["test"]))
    place = {name: number for number, name in enumerate(names)}
    rows = np.array([place[user] for user in people.users["test"]])

    def by_user(values) -> list:
        return np.round(np.bincount(rows, values, len(names)), 3).tolist()

    learnt, n_items = set(people.users["train"]), np.zeros(len(names), dtype=int)
    n_items[rows] = [len(example.history) for example in people.test]
    return {
        "trained": [name in learnt for name in names],
        "items": n_items.tolist(),
        "questions": np.bincount(rows).tolist(),
        "tokens": np.bincount(rows, tokens).astype(int).tolist(),
        "letters": np.bincount(rows, [len(gold) for gold in people.golds]).astype(int).tolist(),
        "nats": {name: by_user(each) for name, each in nats.items()},
        "who": {name: np.bincount(rows, each, len(names)).astype(int).tolist() for name, each in right.items()},
    }


def _nats(asked: dict[str, tuple[PersonalizedLM, list[Example]]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    nats, tokens = nats_together([m for m, _ in asked.values()], [seen_by(*one) for one in asked.values()], at_once())
    return dict(zip(asked, nats, strict=True)), tokens


def others_of_their_kind(people: People, seed: int) -> list[Example]:
    """Each test question with another user's history: a trained user's with a trained one's, a newcomer's likewise."""
    learnt, others = set(people.users["train"]), list(people.test)
    for kind in (True, False):
        rows = [row for row, user in enumerate(people.users["test"]) if (user in learnt) == kind]
        if len({people.users["test"][row] for row in rows}) > 1:
            swapped = swap_histories(
                [people.test[row] for row in rows], [people.users["test"][row] for row in rows], seed
            )
            for row, example in zip(rows, swapped, strict=True):
                others[row] = example
    return others


def summary(found: dict) -> str:
    """Nats per token and shares of right choices over all users, for a log."""
    tokens, questions = sum(found["tokens"]), sum(found["questions"])
    nats = ", ".join(f"{name} {sum(each) / tokens:.4f}" for name, each in found["nats"].items())
    return f"{nats}; who: " + ", ".join(f"{name} {sum(each) / questions:.3f}" for name, each in found["who"].items())
