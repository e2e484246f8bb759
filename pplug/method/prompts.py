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

MAX_INPUT, MAX_TARGET = 256, 128  # tokens; the paper's limits on the LLM's input and output
SEPARATOR = "\n"  # between input and target of a decoder-only LLM without a chat template
TODAY = datetime(2024, 7, 26)  # in every chat template that asks: Llama 3.2's own where it knows no date
SAID = "Say  THIS,\nword for 'word' & <no more>"  # stands for what the user says when a chat template is taken apart


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
