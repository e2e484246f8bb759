"""The controls every evaluation prints beside the plug."""

from pplug.data.loading import Data
from pplug.data.tasks import prompt_with_items, prompt_with_persona
from pplug.method.batches import prepare
from pplug.method.evaluate import answer_prompts, predict, swap_histories
from pplug.method.model import PersonalizedLM
from pplug.offline.curriculum import pick_items

# The rows of every table, in this order. What each control rules out is said in `controls`.
NONE, ITEMS_1, ITEMS_4 = "no personalisation", "1 retrieved item in the prompt", "4 retrieved items in the prompt"
INSTRUCTION, OTHER, PLUG = "instruction embedding only", "plug, another user's history", "plug"
PERSONA = "true persona in words"
ROWS = (NONE, ITEMS_1, ITEMS_4, INSTRUCTION, OTHER, PLUG, PERSONA)


def controls(
    model: PersonalizedLM,
    data: Data,
    examples: list[dict],
    instruction_only: PersonalizedLM | None,
    seed: int,
    only: tuple[str, ...] | None = None,
    **options,
) -> dict[str, list[str]]:
    """Predict with the plug and with every control, or with the rows named in `only`.

    - *no personalisation*: the frozen LLM as it is;
    - *1 and 4 retrieved items*: the same LLM with the user's most similar items as text, untrained;
    - *instruction embedding only*: trained on the same labels, without a user: what is task tuning, not the user;
    - *another user's history*: the same plug, wrong user: what is the embedding's presence, not its content;
    - *true persona in words*: simulated users only; what there is to gain.

    Args:
        model: The trained plug.
        data: The task's data.
        examples: The examples to evaluate, from `data.splits`.
        instruction_only: A trained plug without user embedding; its row is left out if None.
        seed: Of the draw of other users.
        only: The rows to compute; all if None.
        **options: For the LLM's `generate`.

    Returns:
        Row name → predictions, in the order of `ROWS`.
    """
    task = data.task
    plain = PersonalizedLM(model.llm, model.tokenizer, None, model.encoder)
    mine = prepare(model, data, examples)
    users = [example["user_id"] for example in examples]

    def with_items(k: int) -> list[str]:
        prompts = []
        for example in examples:
            items = pick_items(task, example["input"], [data.items[row] for row in example["profile"]], k)
            prompts.append(prompt_with_items(task, items, example["input"]))
        return answer_prompts(plain, prompts, **options)

    def with_persona() -> list[str]:
        personas = [data.factors[user]["persona"] for user in users]
        prompts = [prompt_with_persona(p, e["input"]) for p, e in zip(personas, examples, strict=True)]
        return answer_prompts(plain, prompts, **options)

    ways = {
        NONE: lambda: predict(plain, mine, **options),
        ITEMS_1: lambda: with_items(1),
        ITEMS_4: lambda: with_items(4),
        INSTRUCTION: lambda: predict(instruction_only, mine, **options),
        OTHER: lambda: predict(model, swap_histories(mine, users, seed), **options),
        PLUG: lambda: predict(model, mine, **options),
        PERSONA: with_persona,
    }
    impossible = [INSTRUCTION] * (instruction_only is None) + [PERSONA] * (data.factors is None)
    return {row: ways[row]() for row in ROWS if row not in impossible and (only is None or row in only)}
