"""Examples → batches: each text encoded once, dynamic padding, history subsampling."""

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pplug.base.errors import InputError
from pplug.data.loading import Data
from pplug.data.tasks import query_text
from pplug.method.encoders import encode
from pplug.method.prompts import MAX_TARGET, prompt_ids

if TYPE_CHECKING:
    from pplug.method.model import PersonalizedLM


@dataclass(frozen=True)
class Example:
    """One example, ready for batching.

    Attributes:
        input_ids: The input's tokens.
        target_ids: The target's tokens; empty where there is no target.
        history: `[N, D]` float16, unit length, oldest first.
        query: `[D]` float16, the input's frozen vector.
        query_text: The text the input encoder reads.
        before_ids: Tokens in front of the soft prompt: the beginning of a chat model's template, an item as text (the
            paper's *PPlug + Retrieval*); empty without.
        features: `[N, H]` float32, the projector's first layer of the history where it is known, as of a served user;
            None where the plug is to compute it.
    """

    input_ids: list[int]
    target_ids: list[int]
    history: np.ndarray
    query: np.ndarray
    query_text: str
    before_ids: list[int] = field(default_factory=list)
    features: Tensor | None = None


def prepare_example(
    tokenizer,
    text: str,
    target: str | None,
    history: np.ndarray,
    query: np.ndarray,
    read: str,
    is_encoder_decoder: bool,
) -> Example:
    """Tokenise one input and target; see `Example` for what the rest is."""
    before_ids, input_ids = prompt_ids(tokenizer, text, is_encoder_decoder)
    target_ids: list[int] = []
    if target is not None:
        # A decoder-only tokenizer begins with a start token and ends without an end token; a target needs the reverse.
        own = tokenizer(target, truncation=True, max_length=MAX_TARGET, add_special_tokens=is_encoder_decoder)
        target_ids = own["input_ids"] + ([] if is_encoder_decoder else [tokenizer.eos_token_id])
    return Example(input_ids, target_ids, history, query, read, before_ids)


def prepare(model: "PersonalizedLM", data: Data, examples: list[dict], cache: Path | None = None) -> list[Example]:
    """Encode and tokenise examples. Each distinct text is encoded once, ever: vectors come from the on-disk store.

    Args:
        model: Tells encoder, tokenizer and the plug's choices.
        data: Where the examples' profiles point to.
        examples: Rows of `data.splits[...]`, or `held_out_examples`.
        cache: Folder of the vector store.

    Returns:
        The examples in the same order.
    """
    config = model.plug.config if model.plug is not None else None
    with_label = config is None or config.with_label
    vectors = encode(model.encoder, data.history_texts(with_label), cache)
    reads = [query_text(data.task, example["input"], config is not None and config.full_query) for example in examples]
    queries = encode(model.encoder, reads, cache, is_query=True)
    newest = -config.max_history if config is not None and config.max_history else 0
    return [
        prepare_example(
            model.tokenizer,
            example["input"],
            example["output"],
            vectors[np.array(example["profile"][newest:], dtype=int)],
            queries[i],
            reads[i],
            model.is_encoder_decoder,
        )
        for i, example in enumerate(examples)
    ]


def subsample(history: np.ndarray, rng: random.Random) -> np.ndarray:
    """Drop a random 0-50 % of a history's items, as training data only.

    Args:
        history: `[N, D]`.
        rng: Source of randomness.

    Returns:
        `[M, D]`, order kept. Histories of up to 2 items stay whole, and so does one draw in eleven.

    Note:
        The authors' release writes every example 11 times, once whole and 10 times with 0-50 % of its items dropped,
        without a seed; the paper does not mention it. Drawing anew at each visit has the same distribution.
    """
    if len(history) <= 2 or rng.random() < 1 / 11:
        return history
    keep = len(history) - int(rng.random() * 0.5 * len(history))
    return history[sorted(rng.sample(range(len(history)), keep))]


class Visits(Dataset):
    """The whole training as one list of visits, so that a resumed run sees exactly what an uninterrupted one would.

    Visit `v` is an example and a seed for its subsampling, both functions of `(seed, v)` alone. Each example comes once
    before any comes twice.
    """

    def __init__(self, examples: list[Example], n_visits: int, seed: int):
        if not examples:
            raise InputError("there are no training examples")
        self.examples, self.seed = examples, seed
        rng = random.Random(seed)
        self.order: list[int] = []
        while len(self.order) < n_visits:
            self.order += rng.sample(range(len(examples)), len(examples))
        del self.order[n_visits:]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, visit: int) -> Example:
        example = self.examples[self.order[visit]]
        return replace(example, history=subsample(example.history, random.Random(f"{self.seed}/{visit}")))


def collate(model: "PersonalizedLM", examples: list[Example], for_generation: bool = False) -> dict:
    """Make a batch, padded to its own longest input, target and history.

    Args:
        model: Tells tokenizer, kind of LLM, plug and device.
        examples: B examples.
        for_generation: Leave the targets out; pad a decoder-only LLM's inputs on the left.

    Returns:
        Arguments of `PersonalizedLM.forward` (or `generate_batch`), on the LLM's device.
    """
    seq2seq, device = model.is_encoder_decoder, model.llm.device
    inputs = [example.input_ids for example in examples]
    if not seq2seq and not for_generation:
        inputs = [example.input_ids + example.target_ids for example in examples]
    input_ids, mask = _pad(inputs, model.tokenizer.pad_token_id, left=not seq2seq and for_generation)
    batch = {"input_ids": input_ids, "attention_mask": mask}
    if not for_generation:
        targets = [example.target_ids for example in examples]
        if not seq2seq:
            targets = [[-100] * len(example.input_ids) + example.target_ids for example in examples]
        batch["labels"] = _pad(targets, -100)[0]
    plug = model.plug
    if plug is not None:
        width = plug.config.encoder_width
        longest = max(1, *(len(example.history) for example in examples)) if plug.config.user else 1
        history = torch.zeros(len(examples), longest, width)
        keep = torch.zeros(len(examples), longest, dtype=torch.bool)
        if plug.config.user:
            for row, example in enumerate(examples):
                n = len(example.history)
                history[row, :n] = torch.from_numpy(np.asarray(example.history, dtype=np.float32))
                keep[row, :n] = True
        batch |= {"history": history, "history_mask": keep}
        if plug.config.user and all(example.features is not None for example in examples):
            features = torch.zeros(len(examples), longest, plug.config.llm_width, device=device)
            for row, example in enumerate(examples):
                features[row, : len(example.features)] = example.features
            batch["history_features"] = features
        if plug.input_encoder is not None and plug.input_encoder.backbone is not None:
            batch["query"] = model.encoder.tokenize([example.query_text for example in examples], is_query=True)
        else:
            batch["query"] = torch.from_numpy(np.stack([example.query for example in examples]).astype(np.float32))
    if any(example.before_ids for example in examples):
        before = [example.before_ids for example in examples]
        batch["before_ids"], batch["before_mask"] = _pad(before, model.tokenizer.pad_token_id, left=True)
    return {name: _to(value, device) for name, value in batch.items()}


def _pad(rows: list[list[int]], value: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """Pad to the longest row; returns `[B, T]` int64 and its mask."""
    longest = max(len(row) for row in rows)
    padded = torch.full((len(rows), longest), value)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for i, row in enumerate(rows):
        at = slice(longest - len(row), longest) if left else slice(0, len(row))
        padded[i, at] = torch.tensor(row, dtype=torch.long)
        mask[i, at] = 1
    return padded, mask


def _to(value, device):
    return {key: v.to(device) for key, v in value.items()} if isinstance(value, dict) else value.to(device)
