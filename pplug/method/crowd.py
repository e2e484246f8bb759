"""The plug's other form, ours and not the paper's: soft tokens for everyone, moved by what sets a user apart.

    f_i = (h_i - m) / s                         m, s: mean and spread of the training users' mean vectors
    P^u = C + δ · MLP(Σ_i w_i f_i, at unit length)      C: the crowd's soft tokens; the MLP starts at zero

A mean over dozens of items is nearly the same for everyone. What is personal is the difference from the crowd, and it
must reach the projector at a size that training can see. And where one network has to learn both the task and the
person, the task takes all the steps: here it has tokens of its own.
"""

import numpy as np
import torch
from torch import Tensor, nn

from pplug.base import InputError

STEP = 0.05  # δ, in lengths of a soft token: how far the first steps of training move the crowd's tokens
HIDDEN = 256  # width of the MLP
SEED_WIDTH = 64  # numbers of the constant that the crowd's tokens are made of
SMALLEST = 1e-6


class CrowdProjector(nn.Module):
    """Standardises against the crowd, pools, and only then projects: what `embedder.Projector` is to the paper's form.

    Args:
        width: D.
        llm_width: H.
        soft_tokens: P.
        dropout: Share of a user's numbers that is left out at each step of training. There are few people to learn
            from, each of whom a network could know by heart.
    """

    def __init__(self, width: int, llm_width: int, soft_tokens: int = 1, dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.hidden = nn.Linear(width, HIDDEN)
        nn.init.normal_(self.hidden.weight)  # as in `embedder.Projector`: unit vectors have small numbers
        self.last = nn.Linear(HIDDEN, llm_width * soft_tokens)
        nn.init.zeros_(self.last.weight), nn.init.zeros_(self.last.bias)

    def features(self, vectors: Tensor) -> Tensor:
        """`(h - m) / s`: `[..., D]` → `[..., D]`."""
        return (vectors - self.mean) / self.spread

    def out(self, pooled: Tensor) -> Tensor:
        """`MLP(pooled, at unit length)`: `[..., D]` → `[..., P·H]`."""
        unit = nn.functional.normalize(pooled, dim=-1, eps=SMALLEST)
        unit = nn.functional.dropout(unit, self.dropout, self.training)
        return self.last(nn.functional.gelu(self.hidden(unit)))

    @torch.no_grad()
    def learn_crowd(self, histories: list[np.ndarray]) -> None:
        """Set the crowd's mean and spread.

        Args:
            histories: `[N, D]` of each training example; empty ones do not count.

        Raises:
            InputError: All of them are empty.
        """
        means = [np.asarray(history, dtype=np.float64).mean(axis=0) for history in histories if len(history)]
        if not means:
            raise InputError("crowd=True: expected training examples with a history, all of them are empty")
        spread = torch.from_numpy(np.std(means, axis=0))
        self.mean.copy_(torch.from_numpy(np.mean(means, axis=0)))
        # What is the same for all training users says nothing: divided by next to nothing, it would say everything.
        self.spread.copy_(torch.where(spread > SMALLEST, spread, 1.0))


class Crowd(nn.Module):
    """The soft tokens for everyone, made of a constant by an MLP, which trains faster than the tokens themselves."""

    def __init__(self, llm_width: int, soft_tokens: int):
        super().__init__()
        self.register_buffer("seed", torch.randn(SEED_WIDTH) / SEED_WIDTH**0.5)
        self.soft_tokens = soft_tokens
        self.hidden = nn.Linear(SEED_WIDTH, llm_width)
        nn.init.normal_(self.hidden.weight)
        self.last = nn.Linear(llm_width, llm_width * soft_tokens)

    def forward(self) -> Tensor:
        """`[P, H]` float, of any length."""
        return self.last(nn.functional.gelu(self.hidden(self.seed))).unflatten(-1, (self.soft_tokens, -1))
