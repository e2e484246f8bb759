"""How many tokens there are for what: positions, soft tokens, template, input, items and answer share one budget.

Of an input that is too long its slots are cut, never the template; of items in front of it, the items.
"""

import re

from pplug.base import InputError
from pplug.data import Task, parse_input, prompt_as_lamp, prompt_with_items
from pplug.method.prompts import MAX_INPUT, MAX_TARGET, frame, text_ids

MAX_PROMPT = 512  # tokens of a prompt that carries history items as text
ROOM = 16  # positions kept for a soft prompt, also where there is none, so that all ways read the same text
LEAST = 8  # tokens of an input below which there is nothing to read
POSITIONS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len")


def new_tokens(task: Task, tokenizer) -> int:
    """Tokens an answer may have: the task's, and never fewer than its longest label and the end token take."""
    return max([task.max_new_tokens, *(len(text_ids(tokenizer, label)) + 1 for label in task.labels)])


def positions(llm, tokenizer) -> int:
    """Tokens the LLM can read at once, of an encoder-decoder LLM its encoder; huge where nothing says so."""
    config = getattr(llm.config, "encoder", None) or llm.config.get_text_config()
    known = [getattr(config, name, None) for name in POSITIONS]
    return min([tokenizer.model_max_length, *(n for n in known if isinstance(n, int) and n > 0)])


def prompt_budget(model, most: int = MAX_INPUT, answer: int = MAX_TARGET) -> int:
    """Tokens that an input, or a prompt with items, may have in front of this LLM.

    Args:
        model: Tells the LLM, its tokenizer and the soft tokens.
        most: More than these are never read: the paper's limit, or `MAX_PROMPT`.
        answer: Tokens of the target, or to be generated; they share a decoder-only LLM's positions.

    Returns:
        What the LLM's positions leave beside soft tokens, chat template and answer: for `prompt_ids`, `prompt` and
        `fit_input`.

    Raises:
        InputError: They leave nothing.
    """
    around = frame(model.tokenizer, model.is_encoder_decoder)
    taken = max(ROOM, 0 if model.plug is None else model.plug.tokens)
    taken += len(around.front) + len(around.behind) - around.counted
    taken += 0 if model.is_encoder_decoder else answer
    limit = positions(model.llm, model.tokenizer)
    if limit - taken < LEAST:
        raise InputError(
            f"llm {model.tokenizer.name_or_path!r}: soft tokens, template and answer take {taken} of its {limit} "
            "positions, which leaves no room for an input: expected fewer soft tokens or a shorter answer"
        )
    return min(most, limit - taken)


def fit_input(task: Task, text: str, tokenizer, most: int) -> str:
    """Cut what stands in an input's slots, never its template, such that the whole has `most` tokens.

    An input that does not follow the template stays as it is; `prompt_ids` cuts it at its end.
    """

    def length(said: str) -> int:
        return len(tokenizer(said)["input_ids"])

    if length(text) <= most:
        return text
    try:
        slots = parse_input(task, text)
    except ValueError:
        return text
    spare = most - length(task.template.format(**dict.fromkeys(slots, "")))
    while spare > 0:
        cut = task.template.format(**dict(zip(slots, _share([*slots.values()], spare, tokenizer), strict=True)))
        excess = length(cut) - most
        if excess <= 0:
            return cut
        spare -= excess  # pieces of words join differently at a cut
    return text


def prompt(task: Task, items: list[dict], text: str, tokenizer, most: int = MAX_PROMPT, is_standin: bool = True) -> str:
    """Put items in front of an input such that the input is never cut.

    As in LaMP's code, the items share the tokens that the input leaves: each item's long field is cut to its share,
    and what a short one does not need goes to the others. An item whose share is nothing is left out.

    Args:
        task: The task.
        items: The best last, next to the input.
        text: The input.
        tokenizer: The LLM's.
        most: Tokens that the whole prompt may have: `prompt_budget(model, MAX_PROMPT)`.
        is_standin: Whether the LLM is a stand-in, which knows the wording it was taught; else LaMP's own is used.

    Returns:
        The prompt; the input alone where no item fits.
    """
    word = prompt_with_items if is_standin else prompt_as_lamp
    field = task.held_out[0] if task.held_out else task.fields[0]
    text = fit_input(task, text, tokenizer, most)

    def length(chosen: list[dict]) -> int:
        return len(tokenizer(word(task, chosen, text))["input_ids"])

    for first in range(len(items)):
        chosen = items[first:]
        if length(chosen) <= most:
            return word(task, chosen, text)
        spare = most - length([{**item, field: ""} for item in chosen])
        while spare >= len(chosen):
            texts = _share([item[field] for item in chosen], spare, tokenizer)
            cut = [{**item, field: said} for item, said in zip(chosen, texts, strict=True)]
            excess = length(cut) - most
            if excess <= 0:
                return word(task, cut, text)
            spare -= excess  # pieces of words join differently at a cut
    return text


def _share(texts: list[str], spare: int, tokenizer) -> list[str]:
    """Cut texts so that together they have `spare` tokens; short ones leave theirs to the others."""
    ends = [_ends(text, tokenizer) for text in texts]
    cut = list(texts)
    for done, i in enumerate(sorted(range(len(texts)), key=lambda i: len(ends[i]))):
        share = min(len(ends[i]), spare // (len(texts) - done))
        spare -= share
        cut[i] = texts[i][: ends[i][share - 1]] if share else ""
    return cut


def _ends(text: str, tokenizer) -> list[int]:
    """Where each token of a text ends; each word where the tokenizer, not being a fast one, cannot tell."""
    if not tokenizer.is_fast:
        return [word.end() for word in re.finditer(r"\S+", text)]
    return [end for _, end in tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]]
