"""Soft prompt and tokens as one sequence of embeddings, *Paper: Eq. 5*: padding, joining, and what the LLM is given.

Padding stands outermost, and no token's position depends on how long its batch mates are: an encoder reads from the
left, so its padding is on the right; a decoder-only LLM is told the positions where it takes them.
"""

import inspect

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def pad(rows: list[list[int]], value: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """Pad to the longest row.

    Args:
        rows: B lists of token ids.
        value: What to pad with.
        left: Whether the padding stands on the left.

    Returns:
        `[B, T]` int64, and its mask `[B, T]` int64, 1 where there is a token.
    """
    rows = [torch.tensor(row, dtype=torch.long) for row in rows]
    side = "left" if left else "right"
    padded = pad_sequence(rows, batch_first=True, padding_value=value, padding_side=side)
    return padded, pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side=side)


def join(
    llm,
    soft: Tensor | None,
    input_ids: Tensor,
    attention_mask: Tensor,
    before_ids: Tensor | None = None,
    before_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Put the soft prompt between what stands in front of it and the input, as embeddings.

    Args:
        llm: The LLM, whose token embeddings are used.
        soft: `[B, tokens, H]` float; None without a plug.
        input_ids: `[B, T]` int, padded on either side.
        attention_mask: `[B, T]` int, 1 where there is a token.
        before_ids: `[B, T0]` int, padded on the left; None where nothing stands in front.
        before_mask: `[B, T0]` int.

    Returns:
        Embeddings `[B, T0 + tokens + T, H]` and their mask. An encoder's padding is all on the right; a decoder-only
        LLM's stays on the side of the input's, and that of `before_ids` on the left.
    """
    table = llm.get_input_embeddings()
    joined, mask = table(input_ids), attention_mask
    if soft is not None:
        joined = torch.cat([soft.to(joined.dtype), joined], dim=1)
        mask = torch.cat([attention_mask.new_ones(soft.shape[:2]), mask], dim=1)
    if before_ids is not None:
        joined = torch.cat([table(before_ids), joined], dim=1)
        mask = torch.cat([before_mask, mask], dim=1)
    pads_right = bool(llm.config.is_encoder_decoder)
    moves = mask.diff(dim=1) > 0 if pads_right else attention_mask[:, :1] == 0  # a token behind padding
    if bool(moves.any()):
        order = mask.argsort(dim=1, stable=True, descending=pads_right)
        joined = joined.gather(1, order[..., None].expand_as(joined))
        mask = mask.gather(1, order)
    return joined, mask


def can_read_front(llm) -> bool:
    """Whether an LLM can go on from keys and values of what it has read: decoder-only, each layer sees all of it."""
    takes = inspect.signature(llm.forward).parameters
    kinds = getattr(llm.config, "layer_types", None)
    sees_all = set(kinds) == {"full_attention"} if kinds else not getattr(llm.config, "sliding_window", None)
    needed = ("position_ids", "past_key_values", "logits_to_keep")
    return not llm.config.is_encoder_decoder and sees_all and all(name in takes for name in needed)


@torch.no_grad()
def read_front(llm, fronts: list[list[int]]):
    """Keys and values of what stands in front of the soft prompts: no trained number has a part in them.

    What all of them begin with, as a chat template does, is read for one of them.

    Args:
        llm: Decoder-only.
        fronts: B lists of token ids.

    Returns:
        What the LLM takes as `past_key_values`, and its mask `[B, T0]`; `(None, mask)` where nothing stands in front.
    """
    least, most = min(fronts), max(fronts)  # what these two begin with, all do that stand between them
    shared = least[: next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), len(least))]
    past, mask = None, torch.ones(1, 0, dtype=torch.long, device=llm.device)
    for rows in ([shared], [front[len(shared) :] for front in fronts]):
        if not any(rows):
            continue
        ids, own = (part.to(llm.device) for part in pad(rows, 0, left=True))
        mask = torch.cat([mask.expand(len(rows), -1), own], dim=1)
        if past is not None:
            past.batch_repeat_interleave(len(rows))
        places = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        given = {"attention_mask": mask, "position_ids": places, "use_cache": True, "logits_to_keep": 1}
        past = llm(inputs_embeds=llm.get_input_embeddings()(ids), past_key_values=past, **given).past_key_values
    if past is not None and len(mask) < len(fronts):  # they are alike to their ends
        past.batch_repeat_interleave(len(fronts))
        mask = mask.expand(len(fronts), -1)
    return past, mask


def run_llm(llm, joined: Tensor, mask: Tensor, labels: Tensor, only_targets: bool = False, front: tuple | None = None):
    """Run the LLM on joined embeddings, with a target.

    Args:
        llm: The LLM.
        joined: `[B, L, H]` float, from `join`.
        mask: `[B, L]` int.
        labels: `[B, T']` int, -100 where there is nothing to predict. For a decoder-only LLM they belong to the last
            T' positions of `joined`.
        only_targets: Leave out the logits in front of the first that predicts a target of any row. There a decoder-only
            LLM's output layer, as wide as its vocabulary, would work for nothing.
        front: From `read_front`, where something stands in front that was read already.

    Returns:
        The LLM's output, with `loss` and `logits`, `[B, L', V]`: of a decoder-only LLM those of the last L' positions
        of `joined`, all of them without `only_targets`.
    """
    more = {"use_cache": False}
    if not llm.config.is_encoder_decoder:
        in_front = joined.shape[1] - labels.shape[1]
        labels = torch.cat([labels.new_full((labels.shape[0], in_front), -100), labels], dim=1)
        takes = inspect.signature(llm.forward).parameters
        if front is not None:
            more |= {"use_cache": True, "past_key_values": front[0]}
            mask = torch.cat([front[1].to(mask.dtype), mask], dim=1)
        if "position_ids" in takes:  # else counted from the first padding
            more["position_ids"] = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -joined.shape[1] :]
        if only_targets and "logits_to_keep" in takes:
            first = int((labels != -100).any(dim=0).int().argmax())  # it is predicted one position earlier
            labels = labels[:, max(0, first - 1) :]
            more["logits_to_keep"] = labels.shape[1]
    return llm(inputs_embeds=joined, attention_mask=mask, labels=labels, **more)
