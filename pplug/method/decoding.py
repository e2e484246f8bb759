"""Generating from joined embeddings: greedy unless told otherwise, whatever the LLM's own defaults are."""

from torch import Tensor

from pplug.base import InputError
from pplug.method.budget import positions
from pplug.method.prompts import MAX_TARGET

IDS = ("eos_token_id", "bos_token_id", "decoder_start_token_id", "forced_bos_token_id")  # forced: mBART's language


def end_ids(llm, tokenizer) -> list[int]:
    """The tokens an answer may end with: the LLM's own, of which there may be several, and the tokenizer's."""
    known = [llm.generation_config.eos_token_id, llm.config.get_text_config().eos_token_id, tokenizer.eos_token_id]
    flat = [i for some in known for i in (some if isinstance(some, list | tuple) else [some])]
    return sorted({i for i in flat if i is not None})


def decoding(llm, tokenizer, **options):
    """How to generate: the LLM's special tokens, the options given, and nothing else of its `generation_config.json`.

    Args:
        llm: The LLM.
        tokenizer: Its tokenizer.
        **options: Fields of transformers' `GenerationConfig`.

    Returns:
        A `GenerationConfig`, greedy where `options` do not say otherwise.

    Note:
        What the hub's files say on top (Qwen2.5's repetition penalty, sampling, suppressed tokens) is left out: it
        would change some LLMs' answers and not others', and the plain control would not be the LLM's greedy decoding.
    """
    from transformers import GenerationConfig

    ids = {name: getattr(llm.generation_config, name) for name in IDS}
    ids["decoder_start_token_id"] = ids["decoder_start_token_id"] or getattr(llm.config, "decoder_start_token_id", None)
    ids |= {"eos_token_id": end_ids(llm, tokenizer), "pad_token_id": tokenizer.pad_token_id}
    if "max_length" not in options:
        options = {"max_new_tokens": MAX_TARGET} | options
    return GenerationConfig(**({"do_sample": False, "num_beams": 1} | ids | options))


def generate(llm, tokenizer, joined: Tensor, mask: Tensor, **options):
    """Generate from joined embeddings.

    Args:
        llm: The LLM.
        tokenizer: Its tokenizer.
        joined: `[B, L, H]` float, from `joining.join`; a decoder-only LLM's padding on the left.
        mask: `[B, L]` int.
        **options: Fields of `GenerationConfig`, and further arguments of the LLM's `generate` such as `streamer`.

    Returns:
        What the LLM's `generate` returns: ids `[B, T]`, of a decoder-only LLM the new ones alone.

    Raises:
        InputError: The prompt and the tokens to generate are more than the LLM has positions.
    """
    from transformers import GenerationConfig

    known = vars(GenerationConfig())
    config = decoding(llm, tokenizer, **{name: value for name, value in options.items() if name in known})
    most, longest = positions(llm, tokenizer), joined.shape[1]
    new = 0 if llm.config.is_encoder_decoder else config.max_new_tokens or 0
    if longest + new > most:
        raise InputError(
            f"llm {llm.name_or_path!r}: a prompt of {longest} tokens and {new} new ones are more than its {most} "
            "positions: expected a shorter prompt or a smaller max_new_tokens"
        )
    others = {name: value for name, value in options.items() if name not in known}
    hub, llm.generation_config = llm.generation_config, config  # what is None in an argument is taken from there
    try:
        return llm.generate(inputs_embeds=joined, attention_mask=mask, generation_config=config, **others)
    finally:
        llm.generation_config = hub
