"""Real people and a real LLM: the plugs that `python -m pplug people` trains, and on what.

Several plugs, seeds and controls are trained together on the same batches, then asked the test questions (asked.py),
one record a seed. What differs from the paper's form was chosen on dev (`results/people-tried`).
"""

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import torch

from pplug.config import CHATS, DEFAULT
from pplug.data import Data, history_text, parse_input, retrieve, style_in_words
from pplug.method import (
    Example,
    PersonalizedLM,
    build,
    prepare,
    read_plug,
    swap_histories,
    target_ids,
    train_together,
    with_prompts,
)
from pplug.rivals.inputs import ITEMS, put_in_prompt
from pplug.study.experiment import get_encoder, get_llm, kept_at, llm_label, task_data, training_examples

PROFILE = replace(
    DEFAULT, name="people", data=CHATS, llm="smollm2", encoder="smollm2:6+style", n_users=None, n_test=None
)
STEPS, BATCH, RATE = 320, 64, 2e-3  # a few minutes of a GPU, a night of two cores: it goes on where it was stopped
SEEDS = (0, 1, 2)
CROWD, PAPER, PROMPT_TUNING = "crowd plug", "PPlug", "prompt tuning"
SHUFFLED, WORDED = "shuffled users", "prompt tuning, the person in words"
TOKENS = {"soft_tokens": 4, "before": "answer", "with_label": False}
_CROWD = TOKENS | {"crowd": True, "pooling": "mean", "dropout": 0.3}
_TUNED = TOKENS | {"crowd": True, "user": False}
CHOICES: dict[str, dict] = {
    CROWD: _CROWD,
    PAPER: TOKENS,  # with an instruction embedding, so one token more than the others
    PROMPT_TUNING: _TUNED,
    SHUFFLED: _CROWD,
    WORDED: _TUNED,
}
ROWS = [(row, seed) for seed in SEEDS for row in (CROWD, PAPER, PROMPT_TUNING)] + [(SHUFFLED, SEEDS[0])]
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

    @cached_property
    def anothers_replies(self) -> list[Example]:
        """The test questions with another person's reply, on the same conversation prompt, in place of the true one."""
        who = task_data(f"{CHATS}-who", PROFILE)
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
        reader = made_plug(self.data, PROMPT_TUNING, 0)
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

    def training(self, row: str, seed: int) -> list[Example]:
        """What a row's plug is trained on: the same questions, in the order of *train*."""
        if row == SHUFFLED:
            return swap_histories(self.examples["train"], self.users("train"), seed)
        if row == WORDED:
            rng, ways = random.Random(seed), list(self.in_words("train").values())
            return [rng.choice(ways)[number] for number in range(len(self.examples["train"]))]
        return self.examples["train"]


def prepared_people() -> People:
    """Read, encode and tokenise what is trained on and what is asked."""
    data = task_data(CHATS, PROFILE)
    questions = {"train": training_examples(data), "test": data.splits["test"].to_list()}
    reader = made_plug(data, CROWD, 0)
    return People(data, questions, {split: prepare(reader, data, some) for split, some in questions.items()})


def made_plug(data: Data, row: str, seed: int) -> PersonalizedLM:
    """A new plug in front of the LLM."""
    (llm, tokenizer), encoder = get_llm(PROFILE.llm), get_encoder(PROFILE.encoder)
    facts = {"task": data.task.to_json(), "llm": PROFILE.llm, "encoder": encoder.name, "data_hash": data.hash}
    torch.manual_seed(seed)
    return build(llm, tokenizer, encoder, None, facts, **CHOICES[row])


def bare_llm() -> PersonalizedLM:
    """The LLM as it is."""
    return PersonalizedLM(*get_llm(PROFILE.llm))


def settings(people: People) -> dict:
    """What a record says of the study: data, LLM, encoder, plugs, and how they are trained."""
    about = {"task": people.data.task.name, "simulated": False, "data_hash": people.data.hash}
    about |= {"llm": llm_label(PROFILE.llm), "encoder": PROFILE.encoder, "choices": CHOICES, "steps": STEPS}
    about |= {"batch_size": BATCH, "learning_rate": RATE, "training_questions": len(people.questions["train"])}
    return about


def trained(
    people: People, rows: list[tuple[str, int]], log: Callable[[str], None]
) -> dict[tuple[str, int], PersonalizedLM]:
    """Train the plugs of some rows together, or load them if these very ones were trained before.

    Args:
        people: From `prepared_people`.
        rows: Row and seed of each.
        log: Told how it goes.

    Returns:
        (row, seed) → model, in half precision, as it is kept.
    """
    models = {key: made_plug(people.data, *key) for key in rows}
    told = [[asdict(m.plug.config) for m in models.values()], rows, STEPS, BATCH, RATE, people.data.hash]
    folder = kept_at("people", [*told, llm_label(PROFILE.llm), get_encoder(PROFILE.encoder).key])
    paths = {key: folder / f"{number}" for number, key in enumerate(models)}
    if not (folder / "done").exists():
        start = time.perf_counter()
        examples = [people.training(*key) for key in models]
        at_once = None if torch.cuda.is_available() else 3
        options = {"at_once": at_once, "folder": folder / "training", "log": log}
        train_together([*models.values()], examples, STEPS, BATCH, RATE, **options)
        log(f"{len(models)} plugs, {STEPS} steps of {BATCH}: {time.perf_counter() - start:.0f} s")
        for key, path in paths.items():
            models[key].save_pretrained(path, half=True)
        (folder / "done").touch()
        shutil.rmtree(folder / "training", ignore_errors=True)
    for key, path in paths.items():
        models[key].load_state_dict(read_plug(path / "plug.safetensors")[2])
        models[key].eval()
    return models
