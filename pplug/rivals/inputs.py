"""What a plug or an LLM can be given besides a user's own history: each way changes prepared examples.

All have one form: `(model, data, examples, prepared, seed) → prepared examples`, in the same order.
"""

import random
from dataclasses import replace

from pplug.data import RETRIEVERS, Data, prompt_as_lamp, prompt_with_items, retrieve
from pplug.method import (
    MAX_INPUT,
    MAX_PROMPT,
    Example,
    PersonalizedLM,
    is_standin,
    prompt,
    prompt_budget,
    swap_histories,
    text_ids,
    with_prompts,
)

SHUFFLED, ITEMS_IN_PROMPT, ITEM_IN_FRONT = "shuffled users", "items in the prompt", "item in front"
ANY = 1 << 30  # tokens: as many as the LLM's positions leave
ITEMS = (1, 4)  # how many items the rows with retrieval put into a prompt


def shuffled_users(
    model: PersonalizedLM, data: Data, examples: list[dict], prepared: list[Example], seed: int
) -> list[Example]:
    """Every example has the history of another user: a plug trained so can learn nothing about users."""
    return swap_histories(prepared, [example["user_id"] for example in examples], seed)


def items_in_prompt(
    model: PersonalizedLM, data: Data, examples: list[dict], prepared: list[Example], seed: int
) -> list[Example]:
    """1 or 4 items in each prompt, found in a way that is drawn for it: what all rows with retrieval have in common."""
    rng = random.Random(seed)
    ranked = {how: list(retrieve(how, data, examples, prepared, seed)) for how in RETRIEVERS}
    best = [ranked[rng.choice(RETRIEVERS)][i][: rng.choice(ITEMS)] for i in range(len(examples))]
    return put_in_prompt(model, data, examples, prepared, best)


def put_in_prompt(
    model: PersonalizedLM,
    data: Data,
    examples: list[dict],
    prepared: list[Example],
    rows: list[list[int]],
    kept: list[int] | None = None,
) -> list[Example]:
    """Each example's prompt with rows of `data.items` as text in front of the input, which is never cut.

    Args:
        model: The LLM, with or without a plug; its `facts` name the LLM.
        data: The task's data.
        examples: The questions.
        prepared: The same, prepared.
        rows: For each, the rows of `data.items` to show, the best first.
        kept: For each, the tokens that something else in front of it will take; none if not given.
    """
    known, tokenizer = is_standin(model.facts["llm"]), model.tokenizer
    most = [min(MAX_PROMPT, prompt_budget(model, ANY) - n) for n in kept or [0] * len(examples)]
    prompts = [
        prompt(data.task, [data.items[row] for row in reversed(best)], e["input"], tokenizer, n, known)
        for best, e, n in zip(rows, examples, most, strict=True)
    ]
    return with_prompts(model, prepared, prompts)


def item_in_front(
    model: PersonalizedLM, data: Data, examples: list[dict], prepared: list[Example], seed: int
) -> list[Example]:
    """The most similar item as text in front of the soft prompt, the paper's *PPlug + Retrieval*."""
    word = prompt_with_items if is_standin(model.facts["llm"]) else prompt_as_lamp
    changed = []
    for best, example, ready in zip(retrieve("dense", data, examples, prepared), examples, prepared, strict=True):
        text = example["input"]
        said = word(data.task, [data.items[row] for row in best[:1]], text)
        if not said.endswith(text):  # LaMP's wording of LaMP-1 has the item inside the input
            said = prompt_with_items(data.task, [data.items[row] for row in best[:1]], text)
        changed.append(text_in_front(model, ready, said.removesuffix(text)))
    return changed


def text_in_front(model: PersonalizedLM, example: Example, text: str) -> Example:
    """The same example with a text in front of the soft prompt, cut to the positions that the LLM has left."""
    ids = text_ids(model.tokenizer, text)[: min(MAX_INPUT, room(model, example))]
    return replace(example, before_ids=example.before_ids + ids)


def room(model: PersonalizedLM, example: Example) -> int:
    """How many more tokens an example may get."""
    return max(0, prompt_budget(model, ANY) - len(example.before_ids) - len(example.input_ids))


CHANGES = {SHUFFLED: shuffled_users, ITEMS_IN_PROMPT: items_in_prompt, ITEM_IN_FRONT: item_in_front}
