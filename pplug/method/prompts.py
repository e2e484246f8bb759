"""What the LLM reads and writes, as tokens: the one place that joins an input and its target and that counts tokens.

- encoder-decoder: `[start] [soft prompt] input [end]`, target in the decoder;
- decoder-only: `[start] [soft prompt] input separator target [end]`;
- chat: `[template's front] [soft prompt] input [template's end] target [end]`.
"""

import functools
import re
from datetime import datetime
from typing import NamedTuple

from pplug.base import InputError, shown
from pplug.data import Task, parse_input, prompt_as_lamp, prompt_with_items

MAX_INPUT, MAX_TARGET = 256, 128  # tokens; the paper's limits on the LLM's input and output
MAX_PROMPT = 512  # tokens of a prompt that carries history items as text
ROOM = 16  # positions kept for a soft prompt, also where there is none, so that all ways read the same text
LEAST = 8  # tokens of an input below which there is nothing to read
SEPARATOR = "\n"  # between input and target of a decoder-only LLM without a chat template
TODAY = datetime(2024, 7, 26)  # in every chat template that asks: Llama 3.2's own where it knows no date
SAID = "Say  THIS,\nword for 'word' & <no more>"  # stands for what the user says when a chat template is taken apart
POSITIONS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len")


class Frame(NamedTuple):
    """The tokens around every input: in front of the soft prompt, and behind the text.

    Attributes:
        front: The start token, or the beginning of a chat template.
        behind: An encoder's end token, the separator, or the end of a chat template.
        counted: How many of them the tokenizer puts around any text; they are part of every count of tokens, the
            others come on top.
        strips: Whether the template strips the spaces around what the user says.
    """

    front: list[int]
    behind: list[int]
    counted: int = 0
    strips: bool = False


@functools.lru_cache(maxsize=8)
def frame(tokenizer, is_encoder_decoder: bool) -> Frame:
    """What stands around every input of an LLM.

    Args:
        tokenizer: The LLM's.
        is_encoder_decoder: Whether the LLM has an encoder; a chat template is then left aside.

    Raises:
        InputError: The chat template does not give back what the user says, once and word for word.
    """
    if not is_encoder_decoder and getattr(tokenizer, "chat_template", None):
        return _chat_frame(tokenizer)
    bare = tokenizer("x", add_special_tokens=False)["input_ids"]
    whole = tokenizer("x")["input_ids"]
    at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    front, end = whole[:at], whole[at + len(bare) :]
    counted = len(front) + len(end)
    if is_encoder_decoder:
        return Frame(front, end, counted)
    # Some tokenizers put an end token behind every text: behind a prompt, it would be the end of the answer.
    return Frame(front, tokenizer(SEPARATOR, add_special_tokens=False)["input_ids"], counted)


def _chat_frame(tokenizer) -> Frame:
    from jinja2 import TemplateError

    name = f"llm {tokenizer.name_or_path!r}"
    # A plug trained today must meet the same template tomorrow. Templates are given data alone, no other clock.
    dates = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
    template = dates.sub(lambda call: repr(TODAY.strftime(call[2])), tokenizer.get_chat_template())

    def render(said: str) -> str:
        return tokenizer.apply_chat_template(
            [{"role": "user", "content": said}],
            tokenize=False,
            add_generation_prompt=True,
            # What a template does not ask for, it does not see.
            enable_thinking=False,
            thinking=False,
            date_string=TODAY.strftime("%d %b %Y"),
            chat_template=template,
        )

    try:
        whole, spaced = render(SAID), render(f"  {SAID}  ")
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{name}: its chat template fails on a user's turn: {shown(str(error))}") from error
    if whole.count(SAID) != 1 or spaced.count(SAID) != 1:
        raise InputError(
            f"{name}: its chat template does not keep what the user says as it is: expected {SAID!r} once, "
            f"found {shown(repr(whole))}"
        )
    front, behind = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in whole.split(SAID))
    return Frame(front, behind, strips=f"  {SAID}  " not in spaced)


@functools.lru_cache(maxsize=8)
def control_ids(tokenizer) -> frozenset[int]:
    """The tokens that no user's text may hold: the special ones, and those that a chat template writes."""
    template = str(getattr(tokenizer, "chat_template", None) or "")
    added = getattr(tokenizer, "added_tokens_decoder", {}).items()
    written = {i for i, token in added if token.content in template and not token.content.isspace()}
    return frozenset(written | set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})


def text_ids(tokenizer, text: str) -> list[int]:
    """The tokens of a text alone. What looks like a special token in it is text, or is left out where it cannot be."""
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    control = control_ids(tokenizer)
    return [i for i in ids if i not in control]


def prompt_ids(tokenizer, text: str, is_encoder_decoder: bool, most: int = MAX_INPUT) -> tuple[list[int], list[int]]:
    """Tokenise what the LLM is to answer.

    Args:
        tokenizer: The LLM's.
        text: The input, or a prompt.
        is_encoder_decoder: Whether the LLM has an encoder.
        most: Tokens, see `prompt_budget`; a longer text is cut at its end. A template's or separator's come on top.

    Returns:
        Tokens in front of the soft prompt and tokens behind it: see the top of this module.
    """
    around = frame(tokenizer, is_encoder_decoder)
    ids = text_ids(tokenizer, text.strip() if around.strips else text)[: max(0, most - around.counted)]
    return [*around.front], ids + around.behind


def target_ids(tokenizer, target: str, is_encoder_decoder: bool) -> list[int]:
    """Tokenise a target: `MAX_TARGET` tokens at most, the last of them the end token."""
    front, end = [], [tokenizer.eos_token_id]
    if is_encoder_decoder:
        around = frame(tokenizer, is_encoder_decoder)
        front, end = around.front, around.behind or end
    return front + text_ids(tokenizer, target)[: MAX_TARGET - len(front) - len(end)] + end


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
