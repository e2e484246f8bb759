"""Can this LLM carry a soft prompt? Tried on a handful of tokens when it is loaded, before anything is trained.

What an LLM computes from token ids, one text at a time, is the truth; its embeddings, batches, padding and generation,
all that the plug relies on, must agree with it. Many LLMs do, some do not: they need the ids themselves in deeper
layers (Gemma-3n), scale embeddings outside their table (Pegasus, Marian), or count positions through the padding.
"""

import torch
from torch import Tensor

from pplug.base import SHOWN, InputError
from pplug.method.decoding import end_ids, generate
from pplug.method.joining import join, pad, run_llm
from pplug.method.prompts import prompt_ids, target_ids, text_ids

TEXTS = ("What may a longer text say? It says one, two, three.", "A text")  # of unlike length, so that one is padded
ITEM, TARGET = "an item", "an answer"
EXACT, ROUGH = 1e-3, 0.05  # relative distance of logits that counts as the same, in single and in half precision


def check_llm(llm, tokenizer, name: str, is_sharded: bool = False) -> None:
    """Check that an LLM can carry a soft prompt.

    Args:
        llm: The LLM, frozen and in evaluation mode.
        tokenizer: Its tokenizer.
        name: What to call it in errors.
        is_sharded: Whether its layers lie on several processes: gradients and generation are then not tried.

    Raises:
        InputError: It cannot; one sentence that names the LLM and what does not work.
    """
    try:
        _check_tokens(llm, tokenizer)
        _check_numbers(llm, tokenizer, is_sharded)
    except _Unfit as unfit:
        raise InputError(f"llm {name!r}: cannot carry a soft prompt: {unfit}") from unfit
    except InputError:
        raise
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever an LLM's own code raises where it meets embeddings
        told = f"{type(error).__name__}: {str(error)[:SHOWN]}"
        raise InputError(f"llm {name!r}: cannot carry a soft prompt: it fails on a few tokens: {told}") from error


class _Unfit(Exception):
    """What an LLM cannot do."""


def _check_tokens(llm, tokenizer) -> None:
    rows = llm.get_input_embeddings().weight.shape[0]
    if not end_ids(llm, tokenizer) or (tokenizer.eos_token_id is None and not llm.config.is_encoder_decoder):
        raise _Unfit("it has no end token, so no answer would ever end; expected an eos_token in its tokenizer")
    ids = [tokenizer.pad_token_id, *end_ids(llm, tokenizer)]
    for text in (*TEXTS, ITEM):
        ids += [i for part in prompt_ids(tokenizer, text, llm.config.is_encoder_decoder) for i in part]
    if max(ids) >= rows:
        raise _Unfit(f"its tokenizer has token {max(ids)}, its embedding table only {rows} rows")


def _check_numbers(llm, tokenizer, is_sharded: bool) -> None:
    seq2seq = bool(llm.config.is_encoder_decoder)
    prompts = [prompt_ids(tokenizer, text, seq2seq) for text in TEXTS]
    item, (token, *_) = text_ids(tokenizer, ITEM), text_ids(tokenizer, TEXTS[1])
    # A token's own embedding stands where the soft prompt will; the shorter text has an item in front as well.
    parts = [(prompts[0][0], prompts[0][1]), (prompts[1][0] + item, prompts[1][1])]
    target = target_ids(tokenizer, TARGET, seq2seq)
    whole = [[*before, token, *behind] for before, behind in parts]
    with torch.no_grad():
        truth = [_from_ids(llm, ids, target) for ids in whole]
    if not all(logits.isfinite().all() for logits in truth):
        raise _Unfit("its output is not made of finite numbers")
    limit = EXACT if llm.dtype == torch.float32 else ROUGH

    def compare(found: list[Tensor], expected: list[Tensor], why: str) -> None:
        if not all(_apart(a, b) <= limit for a, b in zip(found, expected, strict=True)):
            raise _Unfit(why)

    with torch.no_grad():
        alone = [_from_embeddings(llm, tokenizer, [part], token, target)[0][0] for part in parts]
    compare(alone, truth, "given its token embeddings in place of the tokens, it computes something else")
    with torch.set_grad_enabled(not is_sharded):
        together, soft = _from_embeddings(llm, tokenizer, parts, token, target)
        compare(
            [row.detach() for row in together],
            truth,
            "in a batch, beside padding, a text gives another output than alone",
        )
        if is_sharded:
            return
        (gradient,) = torch.autograd.grad(sum(row.float().square().mean() for row in together), soft, allow_unused=True)
    if gradient is None or not gradient.isfinite().all() or not gradient.any():
        raise _Unfit("no gradient comes back to what is put in front of it, so nothing could be trained")
    with torch.no_grad():
        joined, mask = _joined(llm, tokenizer, parts, _soft(llm, token, 2), left=not seq2seq)
        written = generate(
            llm, tokenizer, joined, mask, max_new_tokens=2, min_new_tokens=2,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        why = "generating from embeddings, it goes on otherwise than from the tokens themselves"
        compare(list(written.logits[0]), [logits[0] for logits in truth], why)
        first = written.sequences[:, -2].tolist()
        then = [_from_ids(llm, ids, [i, target[0]])[1] for ids, i in zip(whole, first, strict=True)]
        compare(list(written.logits[1]), then, why)


def _from_ids(llm, ids: list[int], target: list[int]) -> Tensor:
    """The logits that each token of the target is predicted from, by ids alone: `[T', V]`."""
    device = llm.device
    if llm.config.is_encoder_decoder:
        return llm(input_ids=torch.tensor([ids], device=device), labels=torch.tensor([target], device=device)).logits[0]
    sequence = torch.tensor([ids + target], device=device)
    logits = llm(input_ids=sequence, attention_mask=torch.ones_like(sequence), use_cache=False).logits
    return logits[0, len(ids) - 1 : -1]


def _soft(llm, token: int, n: int) -> Tensor:
    return llm.get_input_embeddings()(torch.full((n, 1), token, device=llm.device)).detach()


def _joined(llm, tokenizer, parts, soft: Tensor, left: bool) -> tuple[Tensor, Tensor]:
    inputs, before = pad([behind for _, behind in parts], tokenizer.pad_token_id, left), None
    if any(ids for ids, _ in parts):
        before = pad([ids for ids, _ in parts], tokenizer.pad_token_id, left=True)
    return join(llm, soft, *(t.to(llm.device) for t in (*inputs, *(before or ()))))


def _from_embeddings(llm, tokenizer, parts, token: int, target: list[int]) -> tuple[list[Tensor], Tensor]:
    """The same from embeddings, as `PersonalizedLM.forward` computes them: `B × [T', V]`, and the soft tokens."""
    soft = _soft(llm, token, len(parts))
    if torch.is_grad_enabled():
        soft.requires_grad_()
    if llm.config.is_encoder_decoder:
        joined, mask = _joined(llm, tokenizer, parts, soft, left=False)
        labels = torch.tensor([target] * len(parts), device=llm.device)
        return list(run_llm(llm, joined, mask, labels).logits), soft
    ended = [(before, behind + target) for before, behind in parts]
    labels, _ = pad([[-100] * len(behind) + target for _, behind in parts], -100)
    together = _joined(llm, tokenizer, ended, soft, left=False)
    logits = run_llm(llm, *together, labels.to(llm.device), only_targets=True).logits
    shift = logits.shape[1] - labels.shape[1]  # both end at the last position
    starts = [len(behind) - 1 + shift for _, behind in parts]
    return [row[start : start + len(target)] for row, start in zip(logits, starts, strict=True)], soft


def _apart(found: Tensor, expected: Tensor) -> float:
    """The distance of two sets of logits, relative to how much these differ among themselves; NaN where one has one."""
    found, expected = found.float(), expected.float()
    spread = (expected - expected.mean(-1, keepdim=True)).norm()
    return float((found - expected).norm() / torch.maximum(spread, 0.01 * expected.norm()))
