"""Real people and a real LLM: what a user's history is worth, in nats of the replies she truly wrote.

`python -m pplug people` trains three seeds of the plug of the crowd's form (crowd.py) and of prompt tuning of equal
size, all on the same batches, and asks them the test questions: one record a seed. What differs from the paper's form
was chosen on dev (`results/people-tried`).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
import torch

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
from pplug.study.experiment import get_encoder, get_llm, kept_at, llm_label, task_data, training_examples
from pplug.study.records import environment, save_record

PROFILE = replace(
    DEFAULT, name="people", data=CHATS, llm="smollm2", encoder="smollm2:6+style", n_users=None, n_test=None
)
STEPS, BATCH, RATE = 120, 16, 2e-3  # the better part of an hour on two cores; a quarter of an epoch
QUESTIONS = 2  # of each user, of the test
SEEDS = (0, 1, 2)
LENGTHS = (0, 5, 20)  # items of a shortened history
OWN, ANOTHERS, NONE = "own history", "another user's history", "no personalisation"
CROWD, PROMPT_TUNING = "crowd plug", "prompt tuning"
TOKENS = {"soft_tokens": 4, "before": "answer", "with_label": False}
CHOICES: dict[str, dict] = {
    CROWD: TOKENS | {"crowd": True, "pooling": "mean", "dropout": 0.3},
    PROMPT_TUNING: TOKENS | {"crowd": True, "user": False},
}
ROWS = [(name, seed) for seed in SEEDS for name in CHOICES]


@dataclass(frozen=True, eq=False)
class People:
    """The chats, prepared for the LLM: training and test examples, with the habits beside the encoder's numbers."""

    data: Data
    training: list[Example]
    test: list[Example]
    users: dict[str, list[str]]  # split → whose question each is
    asked: list[dict]  # the test questions as they stand in the data

    @cached_property
    def anothers_replies(self) -> list[Example]:
        """The test questions with another person's reply, on the same conversation prompt, in place of the true one."""
        pairs = {question["id"]: question for question in task_data(WHO.name, PROFILE).splits["test"]}
        tokenizer, changed = get_llm(PROFILE.llm)[1], []
        for asked, gold, example in zip(self.asked, self.golds, self.test, strict=True):
            question = pairs[asked["id"]]
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
        return [question["output"] for question in self.asked]


def at_once() -> int:
    """Questions in one batch of the test."""
    return 128 if torch.cuda.is_available() else 16


def prepared_people(n_users: int | None = None, n_training: int | None = None) -> People:
    """Read, encode and tokenise what is asked; on request only of the first so many people and training questions."""
    data = task_data(CHAT.name, PROFILE)
    asked = {"train": training_examples(data)[:n_training], "test": test_questions(data, n_users)}
    reader = made_plug(data, CROWD, 0)
    ready = {split: prepare(reader, data, examples) for split, examples in asked.items()}
    users = {split: [example["user_id"] for example in examples] for split, examples in asked.items()}
    return People(data, ready["train"], ready["test"], users, asked["test"])


def test_questions(data: Data, n_users: int | None = None) -> list[dict]:
    """The first `QUESTIONS` of the test of each person who is trained on; only of the first so many people if given."""
    left = dict.fromkeys(list(dict.fromkeys(data.splits["train"]["user_id"]))[:n_users], QUESTIONS)
    chosen = []
    for question in data.splits["test"].to_list():
        if left.get(question["user_id"]):
            left[question["user_id"]] -= 1
            chosen.append(question)
    return chosen


def made_plug(data: Data, row: str, seed: int) -> PersonalizedLM:
    """A new plug in front of the LLM."""
    (llm, tokenizer), encoder = get_llm(PROFILE.llm), get_encoder(PROFILE.encoder)
    facts = {"task": CHAT.to_json(), "llm": PROFILE.llm, "encoder": encoder.name, "data_hash": data.hash}
    torch.manual_seed(seed)
    return build(llm, tokenizer, encoder, None, facts, **CHOICES[row])


def trained(people: People, log: Callable[[str], None]) -> dict[tuple[str, int], PersonalizedLM]:
    """Train the plugs of `ROWS` together, or load them if these very ones were trained before: (row, seed) → model."""
    models = {key: made_plug(people.data, *key) for key in ROWS}
    told = [[asdict(m.plug.config) for m in models.values()], ROWS, STEPS, BATCH, RATE, people.data.hash]
    told += [len(people.training), llm_label(PROFILE.llm), get_encoder(PROFILE.encoder).key]
    folder = kept_at("people", told)
    paths = {key: folder / f"{number}" for number, key in enumerate(models)}
    if (folder / "done").exists():
        for key, path in paths.items():
            models[key].load_state_dict(read_plug(path / "plug.safetensors")[2])
        return models
    start = time.perf_counter()
    train_together([*models.values()], [people.training] * len(models), STEPS, BATCH, RATE, log=log)
    log(f"{len(models)} plugs, {STEPS} steps of {BATCH}: {time.perf_counter() - start:.0f} s")
    for key, path in paths.items():
        models[key].save_pretrained(path)
    (folder / "done").touch()
    return models


def run_people(log: Callable[[str], None] = print) -> None:
    """Train, ask the test questions, write the records."""
    start = time.perf_counter()

    def tell(line: str) -> None:
        log(f"{time.perf_counter() - start:.0f} s: {line}")

    people = prepared_people()
    tell(f"{len(people.training)} training questions, {len(people.test)} of test")
    models = trained(people, tell)
    about = {"task": CHAT.name, "simulated": False, "data_hash": people.data.hash, "llm": llm_label(PROFILE.llm)}
    about |= {"encoder": PROFILE.encoder, "steps": STEPS, "batch_size": BATCH, "learning_rate": RATE}
    about |= {"choices": CHOICES, "training_questions": len(people.training)}
    for seed in SEEDS:
        found = asked_on_test(people, {name: m for (name, s), m in models.items() if s == seed}, seed)
        save_record(about | {"seed": seed} | found | environment(), "people", f"test-s{seed}")
        tell(f"seed {seed}: {summary(found)}")


def asked_on_test(people: People, models: dict[str, PersonalizedLM], seed: int) -> dict:
    """Every row's nats of each test user's true replies, and how often it finds out who wrote one.

    Args:
        people: From `prepared_people`.
        models: Row → model, of one seed.
        seed: Of whose history another user gets.

    Returns:
        Plain values, a list over users for each: `items` of history, `questions`, `tokens`, `letters`; `nats`: row →
        sums; `who`: row → how many questions are right. Some rows are in the first seed's record alone: shortened
        histories, the bare LLM, *who wrote it?*
    """
    others, plug = swap_histories(people.test, people.users["test"], seed), models[CROWD]
    asked = {OWN: (plug, people.test), ANOTHERS: (plug, others), PROMPT_TUNING: (models[PROMPT_TUNING], people.test)}
    if seed == SEEDS[0]:
        shortened = {f"{n} items": (plug, [_newest(example, n) for example in people.test]) for n in LENGTHS}
        nats, tokens = _nats(asked | shortened)
        right = _who(people, asked, nats, tokens)
    else:
        (nats, tokens), right = _nats(asked), {}
    names = list(dict.fromkeys(people.users["test"]))
    place = {name: number for number, name in enumerate(names)}
    rows = np.array([place[user] for user in people.users["test"]])
    n_items = np.zeros(len(names), dtype=int)
    n_items[rows] = [len(example.history) for example in people.test]

    def by_user(values, digits: int | None = None) -> list:
        sums = np.bincount(rows, values, len(names))
        return (sums.astype(int) if digits is None else sums.round(digits)).tolist()

    return {
        "items": n_items.tolist(),
        "questions": by_user(np.ones(len(rows))),
        "tokens": by_user(tokens),
        "letters": by_user([len(gold) for gold in people.golds]),
        "nats": {name: by_user(each, 3) for name, each in nats.items()},
        "who": {name: by_user(each) for name, each in right.items()},
    }


def _who(people: People, asked: dict, nats: dict[str, np.ndarray], tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Row → for each question whether the true reply is found likelier than another's; adds the bare LLM's nats."""
    anothers = [example.target_ids for example in people.anothers_replies]
    theirs, their_tokens = _nats(
        {
            name: (model, [replace(e, target_ids=ids) for e, ids in zip(examples, anothers, strict=True)])
            for name, (model, examples) in asked.items()
        }
    )
    nats[NONE], theirs[NONE] = people.plain_nats
    right = {name: nats[name] / tokens < theirs[name] / their_tokens for name in theirs}
    for name in (OWN, ANOTHERS):  # by what the user adds to what everyone is given
        gains = [(each[PROMPT_TUNING] - each[name]) / n for each, n in ((nats, tokens), (theirs, their_tokens))]
        right[f"{name} against {PROMPT_TUNING}"] = gains[0] > gains[1]
    return right


def _newest(example: Example, n: int) -> Example:
    return replace(example, history=example.history[max(0, len(example.history) - n) :])


def _nats(asked: dict[str, tuple[PersonalizedLM, list[Example]]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    nats, tokens = nats_together([m for m, _ in asked.values()], [e for _, e in asked.values()], at_once())
    return dict(zip(asked, nats, strict=True)), tokens


def summary(found: dict) -> str:
    """Nats per token and shares of right choices over all users, for a log."""
    tokens, questions = sum(found["tokens"]), sum(found["questions"])
    nats = ", ".join(f"{name} {sum(each) / tokens:.4f}" for name, each in found["nats"].items())
    return f"{nats}; who: " + ", ".join(f"{name} {sum(each) / questions:.3f}" for name, each in found["who"].items())
