"""The *procedure* of the authors' release, written from its description (reference §4), as the baseline of the ratios.

Inputs are padded to 266 tokens and targets to 128; every history has 512 slots, each of them projected before they are
summed; all in single precision; the input encoder is trained.
"""

import numpy as np
import torch
from torch import nn

from pplug.method.batches import Example

INPUT_SLOTS, TARGET_SLOTS, HISTORY_SLOTS = 266, 128, 512
ENCODING_BATCH = 32


class ReleasedPlug(nn.Module):
    """Projects each of the 512 slots, then sums."""

    def __init__(self, width: int, llm_width: int, input_encoder: nn.Module):
        super().__init__()
        self.input_encoder = input_encoder
        self.projector = nn.Sequential(nn.Linear(width, llm_width), nn.GELU(), nn.Linear(llm_width, llm_width))
        self.instruction = nn.Parameter(torch.randn(1, 1, llm_width))

    def forward(self, features, history, mask):
        x = nn.functional.normalize(self.input_encoder(features)["sentence_embedding"], dim=-1)
        scores = (history @ x[..., None])[..., 0].masked_fill(~mask, -1e9)
        weights = scores.softmax(dim=-1)
        user = (weights[..., None] * self.projector(history)).sum(dim=1, keepdim=True)
        return torch.cat([self.instruction.expand(len(user), -1, -1), user], dim=1)


def user_table(examples: list[Example], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All histories in single precision, 512 slots a question, on the device: `[n, 512, D]` and its mask."""
    table = torch.zeros(len(examples), HISTORY_SLOTS, width)
    mask = torch.zeros(len(examples), HISTORY_SLOTS, dtype=torch.bool)
    for row, example in enumerate(examples):
        newest = example.history[-HISTORY_SLOTS:]
        table[row, : len(newest)] = torch.from_numpy(newest.astype(np.float32))
        mask[row, : len(newest)] = True
    return table, mask


def padded(rows: list[list[int]], slots: int, value: int) -> torch.Tensor:
    """`[n, slots]`, every row padded to the same number of slots."""
    out = torch.full((len(rows), slots), value)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.tensor(row[:slots])
    return out


def step(llm, plug: ReleasedPlug, optimizer, batch: list[Example], features, history, mask) -> float:
    """One training step; returns its loss."""
    ids = padded([e.input_ids for e in batch], INPUT_SLOTS, 0)
    labels = padded([e.target_ids for e in batch], TARGET_SLOTS, -100)
    soft = plug(features, history, mask)
    joined = torch.cat([soft, llm.get_input_embeddings()(ids)], dim=1)
    attention = torch.cat([torch.ones(len(ids), soft.shape[1], dtype=torch.long), (ids != 0).long()], dim=1)
    loss = llm(inputs_embeds=joined, attention_mask=attention, labels=labels).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def encode_in_file_order(module, texts: list[str]) -> np.ndarray:
    """Encode texts as they come, in batches of a fixed number, in single precision: `[N, D]`."""
    vectors = []
    with torch.inference_mode():
        for start in range(0, len(texts), ENCODING_BATCH):
            features = module.preprocess(texts[start : start + ENCODING_BATCH])
            vectors.append(nn.functional.normalize(module(features)["sentence_embedding"], dim=-1).numpy())
    return np.concatenate(vectors)
