"""What the stand-in LLM is taught: users of LaMP-format data as pairs of a prompt and a target.

The mix teaches the three ways in which a prompt can carry a user, so that the plug meets an LLM that *can* be
personalised: no word about the user, a sentence that describes the user, and some of the user's items as text. It also
teaches to write that sentence from a user's items (`describe the user: ...`), and begins by teaching to repeat texts: a
headline's few words teach a small T5 to copy names out of an article very slowly, whole texts teach it fast.
"""

import random
from dataclasses import dataclass

from pplug.base import InputError
from pplug.data import (
    Data,
    Task,
    describe_prompt,
    examples_with_output,
    get_task,
    held_out_examples,
    history_text,
    prompt_with_items,
    prompt_with_persona,
    query_text,
    rank_by_words,
)

LEARNT_SEED = 101  # of the simulated users a stand-in learns from; the experiments' users have another


@dataclass(frozen=True)
class Recipe:
    """How a stand-in is made.

    `stages` is the curriculum: (share of the steps, most items in a prompt, share of texts to repeat, most items in
    front of a text to repeat). `encoder` is `minilm` for a pretrained encoder; empty for a T5 from scratch.
    """

    encoder: str = ""
    width: int = 256
    feed_forward: int = 512
    encoder_layers: int = 4
    decoder_layers: int = 2
    heads: int = 8
    vocabulary: int = 2500
    steps: int = 6000
    tokens_per_batch: int = 2000
    learning_rate: float = 1e-3
    warmup: float = 0.05
    stages: tuple[tuple[float, int, float, int], ...] = (
        (0.15, 0, 0.5, 2),  # which of the texts in a long prompt is the input? Repeating it teaches that
        (0.15, 1, 0.2, 2),
        (0.7, 4, 0.15, 4),
    )
    plain: float = 0.1  # shares of the training mix; what is left is items in the prompt
    persona: float = 0.25
    describe: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Writer:
    """One user's texts on one task, as the stand-in is trained on them.

    Attributes:
        task: The task.
        persona: The sentence that describes the user, None where nobody knows it.
        items: The user's history items, oldest first.
        questions: `(input, output, number of items that came before)`.
    """

    task: Task
    persona: str | None
    items: list[dict]
    questions: list[tuple[str, str, int]]


def simulated_writers(task_name: str, n_users: int, seed: int, prefix: str) -> list[Writer]:
    """Simulated users; each of a user's texts is a question that the texts before it can help with."""
    from pplug.data import build_input
    from pplug.offline.simulate import make_users, persona_sentence

    task = get_task(task_name)
    writers = []
    for user in make_users(task_name, n_users, seed, prefix):
        questions = [(build_input(task, **t.slots), t.output, i) for i, t in enumerate(user.texts)]
        persona = persona_sentence(task_name, user.values)
        writers.append(Writer(task, persona, [t.item for t in user.texts], questions))
    return writers


def lamp_writers(data: Data, split: str = "train") -> list[Writer]:
    """The users of LaMP-format data: a split's questions and, for training, the items that can serve as questions."""
    if split not in data.splits:
        raise InputError(f"{data.task.name}: no {split}_questions.json in this data, which a stand-in learns from")
    questions = examples_with_output(data, split)
    if len(data.splits[split]) and not questions:
        raise InputError(f"{data.task.name}: no {split}_outputs.json in this data, which a stand-in learns from")
    examples = questions + (held_out_examples(data) if split == "train" else [])
    writers = []
    for example in examples:
        items = [data.items[row] for row in example["profile"]]
        persona = data.factors[example["user_id"]]["persona"] if data.factors else None
        writers.append(Writer(data.task, persona, items, [(example["input"], example["output"], len(items))]))
    return writers


def pick_items(task: Task, text: str, items: list[dict], k: int, rng: random.Random | None = None) -> list[dict]:
    """Choose `k` history items for the prompt, the most similar one last, next to the input.

    Args:
        task: The task.
        text: The input.
        items: The history, oldest first.
        k: How many; fewer if the history is shorter.
        rng: If given, choose at random instead of by similarity.
    """
    if rng is not None:
        return rng.sample(items, min(k, len(items)))
    order = rank_by_words(query_text(task, text), [history_text(task, item) for item in items])
    return [items[i] for i in reversed(order[:k])]


def training_pair(
    writer: Writer,
    rng: random.Random,
    recipe: Recipe,
    most_items: int,
    repeat: float = 0.0,
    most_before_repeat: int = 4,
) -> tuple[str, str]:
    """Draw one (prompt, target) from the training mix of a stage; see `Recipe`."""
    text, output, n_before = rng.choice(writer.questions)
    items = writer.items[max(0, n_before - 30) : n_before]
    if rng.random() < repeat:
        read = query_text(writer.task, text)
        shown = rng.sample(items, min(len(items), rng.randint(0, most_before_repeat)))
        return f"repeat: {prompt_with_items(writer.task, shown, text)}", read
    way = rng.random()
    if way < recipe.plain or (not items and writer.persona is None):
        return text, output
    if writer.persona is not None and (way < recipe.plain + recipe.persona or not items or not most_items):
        return prompt_with_persona(writer.persona, text), output
    if writer.persona is not None and way < recipe.plain + recipe.persona + recipe.describe:
        return describe_prompt(writer.task, pick_items(writer.task, text, items, 6, rng)), writer.persona
    k = rng.randint(1, max(1, most_items))
    shuffled = rng if rng.random() < 0.5 else None
    return prompt_with_items(writer.task, pick_items(writer.task, text, items, k, shuffled), text), output
