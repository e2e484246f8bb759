"""What the LLM reads: an input inside its chat template, history items in front of an input, all within its tokens."""

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from pplug.data.tasks import Task, prompt_as_lamp, prompt_with_items

if TYPE_CHECKING:
    from pplug.method.batches import Example
    from pplug.method.model import PersonalizedLM

ROOM = 16  # tokens left for the soft prompt where a model has a limit
SAID = "WHAT-THE-USER-SAYS"  # stands for it when a chat template is taken apart
MAX_INPUT, MAX_TARGET = 256, 128  # tokens; the paper's limits on the LLM's input and output


def prompt_ids(tokenizer, text: str, is_encoder_decoder: bool, most: int = MAX_INPUT) -> tuple[list[int], list[int]]:
    """Tokenise what the LLM is to answer, inside the chat template where the LLM has one.

    Args:
        tokenizer: The LLM's.
        text: The input, or a prompt; cut at `most` tokens.
        is_encoder_decoder: Whether the LLM has an encoder; such LLMs have no template.
        most: Tokens of `text`; the template's come on top.

    Returns:
        Tokens in front of the soft prompt and tokens behind it. In a chat, the soft prompt stands at the beginning of
        what the user says: the template's beginning is in front of it, its end comes behind the text.
    """
    most = min(most, tokenizer.model_max_length - ROOM)
    frame = None if is_encoder_decoder else chat_frame(tokenizer)
    if frame is None:
        return [], tokenizer(text, truncation=True, max_length=most)["input_ids"]
    said = tokenizer(text, add_special_tokens=False, truncation=True, max_length=most)["input_ids"]
    return list(frame[0]), said + frame[1]


@functools.cache
def chat_frame(tokenizer) -> tuple[list[int], list[int]] | None:
    """The tokens of a chat model's template in front of what the user says and behind it; None without a template."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    turn = [{"role": "user", "content": SAID}]
    whole = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    front, behind = whole.split(SAID)
    return tuple(tokenizer(part, add_special_tokens=False)["input_ids"] for part in (front, behind))


MAX_PROMPT = 512  # tokens of a prompt that carries history items as text


def prompt(task: Task, items: list[dict], text: str, tokenizer, most: int = MAX_PROMPT, is_standin: bool = True) -> str:
    """Put items in front of an input such that the input is never cut.

    As in LaMP's code, the items share the tokens that the input leaves: each item's long field is cut to its share,
    and what a short one does not need goes to the others. An item whose share is nothing is left out.

    Args:
        task: The task.
        items: The best last, next to the input.
        text: The input.
        tokenizer: The LLM's.
        most: Tokens that the whole prompt may have.
        is_standin: Whether the LLM is a stand-in, which knows the wording it was taught; else LaMP's own is used.

    Returns:
        The prompt; the input alone where no item fits.
    """
    word = prompt_with_items if is_standin else prompt_as_lamp
    field = task.held_out[0] if task.held_out else task.fields[0]

    def length(chosen: list[dict]) -> int:
        return len(tokenizer(word(task, chosen, text))["input_ids"])

    for first in range(len(items)):
        chosen = items[first:]
        if length(chosen) <= most:
            return word(task, chosen, text)
        spare = most - length([{**item, field: ""} for item in chosen])
        while spare >= len(chosen):
            cut = _share(chosen, field, spare, tokenizer)
            excess = length(cut) - most
            if excess <= 0:
                return word(task, cut, text)
            spare -= excess  # pieces of words join differently at a cut
    return text


def _share(items: list[dict], field: str, spare: int, tokenizer) -> list[dict]:
    """Cut one field of each item so that together they have `spare` tokens; short ones leave theirs to the others."""
    ends = [
        tokenizer(item[field], add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        for item in items
    ]
    cut = list(items)
    for done, i in enumerate(sorted(range(len(items)), key=lambda i: len(ends[i]))):
        share = min(len(ends[i]), spare // (len(items) - done))
        spare -= share
        cut[i] = {**items[i], field: items[i][field][: ends[i][share - 1][1]] if share else ""}
    return cut


def with_prompts(model: "PersonalizedLM", prepared: list["Example"], prompts: list[str]) -> list["Example"]:
    """The same examples, but the LLM reads these prompts; query and history stay."""
    from pplug.method.prompts import prompt_ids

    changed = []
    for example, text in zip(prepared, prompts, strict=True):
        before_ids, input_ids = prompt_ids(model.tokenizer, text, model.is_encoder_decoder, MAX_PROMPT)
        changed.append(replace(example, before_ids=before_ids, input_ids=input_ids))
    return changed
