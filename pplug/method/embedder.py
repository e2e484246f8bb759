"""The plug: from the vectors of a user's history to the soft prompt of that user. No LLM in here.

    h_i = Enc_his(h_i)                          Eq. 1   frozen; see encoders.py
    x   = Enc_input(x^u)                        Eq. 2   `InputEncoder`, trained
    w_i = exp(x·h_i) / Σ_k exp(x·h_k)           Eq. 3   `attention` and its alternatives
    P^u = Σ_i w_i · Proj(h_i)                   Eq. 4   `Projector`
    X   = [ I ; P^u ; Emb(x^u) ; Emb(y) ]       Eq. 5   the soft prompt here, joined in model.py

Axis letters: B batch, N history items, D encoder width, H LLM width, P soft tokens. A mask is True where there is an
item (True = keep).
"""

import math

import torch
from torch import Tensor, nn

from pplug.method.crowd import STEP, Crowd, CrowdProjector
from pplug.method.plug_config import PlugConfig

INSTRUCTION_SEED_WIDTH = 768  # width of the vector the release feeds to its instruction MLP
SHORTEST = 1e-3  # a soft token shorter than this is not brought to full length


# --- pooling: (query [B, D], history [B, N, D], mask [B, N]) → weights [B, N] ----------------------------------------


def attention(query: Tensor, history: Tensor, mask: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
    """Weigh each history item by its similarity to the input.

    *Paper: Eq. 3*, `w_i = exp(x·h_i / τ) / Σ_k exp(x·h_k / τ)` with τ = 1.

    Args:
        query: `[B, D]` float, `x`, unit length.
        history: `[B, N, D]` float, `h_i`, unit length.
        mask: `[B, N]` bool, True where there is an item.
        temperature: τ. Small values sharpen the weights.

    Returns:
        `[B, N]` float. Each row sums to 1, or is all 0 for an empty history (the release's softmax gives NaN there).

    Note:
        Cosines lie in [-1, 1], so at τ = 1 no item can weigh more than e² ≈ 7.4 times another, and in practice the
        weights are close to uniform: the paper's attention is close to its mean pooling.
    """
    scores = torch.einsum("bd,bnd->bn", query, history) / temperature
    # A finite floor and a second masking: softmax over nothing would be NaN.
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return weights * mask


def mean(query: Tensor, history: Tensor, mask: Tensor) -> Tensor:
    """Weigh all items alike (the paper's *w/o input-aware* ablation). Arguments and result as in `attention`."""
    return mask.to(history.dtype) / mask.sum(dim=-1, keepdim=True).clamp(min=1)


def last(query: Tensor, history: Tensor, mask: Tensor) -> Tensor:
    """Use the newest item only: the last one of the mask. Arguments and result as in `attention`."""
    positions = torch.arange(mask.shape[1], device=mask.device)
    newest = torch.where(mask, positions, -1).max(dim=-1, keepdim=True).values
    return ((positions == newest) & mask).to(history.dtype)


def keep_top_k(weights: Tensor, k: int) -> Tensor:
    """Keep the `k` largest weights of each row, renormalised to sum to 1 (the paper's *selection*).

    Args:
        weights: `[B, N]` float, rows summing to 1 or 0.
        k: How many; all are kept where the row has fewer.

    Returns:
        `[B, N]` float.
    """
    if k >= weights.shape[1]:
        return weights
    chosen = weights.topk(k, dim=-1).indices
    kept = torch.zeros_like(weights).scatter(1, chosen, weights.gather(1, chosen))
    return kept / kept.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


# --- the trained parts -----------------------------------------------------------------------------------------------


class Projector(nn.Module):
    """The two-layer MLP from encoder width to LLM width, *Paper: Eq. 4*: `Proj(h) = W₂ gelu(W₁ h + b₁) + b₂`.

    `hidden` is the first layer, `out` the second. Since weights sum to one,
    `Σ w_i (W₂ g_i + b₂) = W₂ (Σ w_i g_i) + b₂`: pooling before `out` gives the same for a fraction of the work.
    """

    def __init__(self, width: int, llm_width: int, soft_tokens: int = 1):
        super().__init__()
        self.hidden = nn.Linear(width, llm_width)
        # Unit vectors have small numbers (1/√D each): with torch's default weights, gelu would see values so close to 0
        # that the layer is linear, and all users would look alike.
        nn.init.normal_(self.hidden.weight)
        self.out = nn.Linear(llm_width, llm_width * soft_tokens)

    def features(self, vectors: Tensor) -> Tensor:
        """`gelu(W₁ h + b₁)`: `[..., D]` → `[..., H]`."""
        return nn.functional.gelu(self.hidden(vectors))

    def forward(self, vectors: Tensor) -> Tensor:
        """`[..., D]` → `[..., P·H]`."""
        return self.out(self.features(vectors))


class InputEncoder(nn.Module):
    """`x = Enc_input(x^u)`, *Paper: Eq. 2*: the history encoder with own weights, or a linear map on its vectors.

    Args:
        width: D.
        backbone: A copy of the encoder's module, to be fully trained as in the paper; None keeps the encoder frozen
            and trains a linear map on its vectors, which is many times cheaper.
    """

    def __init__(self, width: int, backbone: nn.Module | None = None):
        super().__init__()
        self.backbone = backbone
        self.map = nn.Linear(width, width, bias=False) if backbone is None else None
        if self.map is not None:
            nn.init.eye_(self.map.weight)  # starts as the frozen encoder itself

    def forward(self, query) -> Tensor:
        """Encode the inputs.

        Args:
            query: `[B, D]` float, frozen vectors; or, with a backbone, the features of the tokenised query texts.

        Returns:
            `[B, D]` float, unit length.
        """
        x = self.map(query) if self.backbone is None else self.backbone(query)["sentence_embedding"]
        return nn.functional.normalize(x, dim=-1)


class Plug(nn.Module):
    """The one small module that is trained, for all users of a task.

    Args:
        config: What the plug consists of.
        backbone: For `config.train_input_encoder`, a copy of the encoder's module.
    """

    def __init__(self, config: PlugConfig, backbone: nn.Module | None = None):
        super().__init__()
        if config.train_input_encoder and config.pooling == "attention" and config.user and backbone is None:
            raise ValueError("train_input_encoder=True needs the encoder's module as backbone")
        self.config = config
        H = config.llm_width
        self.input_encoder = self.projector = self.log_temperature = self.crowd = None
        if config.crowd:
            self.crowd = Crowd(H, config.soft_tokens)
        if config.user:
            sizes = (config.encoder_width, H, config.soft_tokens)
            self.projector = CrowdProjector(*sizes, config.dropout) if config.crowd else Projector(*sizes)
            # For an empty history; `Σ` over nothing would drop even the bias. Set below.
            self.no_history = nn.Parameter(torch.empty(config.soft_tokens, H))
            if config.pooling == "attention":
                self.input_encoder = InputEncoder(
                    config.encoder_width, backbone if config.train_input_encoder else None
                )
                if config.learn_temperature:
                    self.log_temperature = nn.Parameter(torch.zeros(()))
        if config.instruction:
            if config.instruction_mlp:
                self.register_buffer("instruction_seed", torch.rand(INSTRUCTION_SEED_WIDTH))
                self.instruction = Projector(INSTRUCTION_SEED_WIDTH, H)
            else:
                self.instruction = nn.Parameter(torch.randn(1, H) / math.sqrt(H))
        if config.user:
            # A random direction of about unit length, as `instruction` has: near zero, normalising would multiply the
            # gradient by thousands, and clipping would then stop everyone's learning. Drawn last: the other weights of
            # a seed are what they were when there was nothing to draw here.
            nn.init.normal_(self.no_history, std=1 / math.sqrt(H))
            if config.crowd:  # someone unknown gets the crowd's tokens as they are, until training ends
                nn.init.zeros_(self.no_history)

    @property
    def tokens(self) -> int:
        """Number of soft tokens in front of the input: one for `I`, P for the user."""
        return int(self.config.instruction) + (self.config.user or self.config.crowd) * self.config.soft_tokens

    @torch.no_grad()
    def begin_from(self, tuned: "Plug") -> None:
        """Begin where prompt tuning ended: with its soft tokens for everyone, which a user does not move yet.

        Args:
            tuned: A plug of the crowd's form without a user embedding, with as many soft tokens.

        Raises:
            ValueError: It is none, or the instruction embedding here comes out of an MLP.
        """
        ours, theirs = self.config, tuned.config
        alike = not ours.crowd or (ours.instruction, ours.soft_tokens) == (theirs.instruction, theirs.soft_tokens)
        if theirs.user or not theirs.crowd or tuned.tokens != self.tokens or not alike or ours.instruction_mlp:
            raise ValueError(f"expected prompt tuning with {self.tokens} soft tokens, of like kinds")
        nobody = torch.zeros(1, 1, dtype=torch.bool, device=tuned.crowd.seed.device)
        tokens = tuned(None, None, nobody)[0] / theirs.embedding_norm
        if ours.instruction:
            self.instruction.copy_(tokens[:1])
            tokens = tokens[1:]
        if ours.crowd:
            self.crowd.load_state_dict(tuned.crowd.state_dict())
        elif ours.user:
            nn.init.zeros_(self.projector.out.weight)
            self.projector.out.bias.copy_(tokens.flatten())
            self.no_history.copy_(tokens)

    def weights(self, query, history: Tensor, mask: Tensor) -> Tensor:
        """The weight of each history item, `[B, N]` float; see `attention`. for `max`, which has none, the mean's."""
        if self.config.pooling == "attention":
            temperature = 1.0 if self.log_temperature is None else self.log_temperature.exp()
            weights = attention(self.input_encoder(query), history, mask, temperature)
            return keep_top_k(weights, self.config.top_k) if self.config.top_k else weights
        return last(query, history, mask) if self.config.pooling == "last" else mean(query, history, mask)

    def user_embedding(self, query, history: Tensor, mask: Tensor, features: Tensor | None = None) -> Tensor:
        """`P^u` before scaling, *Paper: Eq. 4*, pooled before the second linear layer.

        Args:
            query: What `InputEncoder.forward` takes; unused by poolings other than `attention`.
            history: `[B, N, D]` float, unit length.
            mask: `[B, N]` bool, True where there is an item.
            features: `[B, N, features_width]` float, `projector.features(history)` where it is known, as of a served
                user.

        Returns:
            `[B, P, H]` float.
        """
        # Of items alone: what is padding is not projected.
        rows = self.projector.features(history[mask]) if features is None else features[mask]
        is_max = self.config.pooling == "max"
        features = rows.new_full((*mask.shape, rows.shape[-1]), torch.finfo(rows.dtype).min if is_max else 0.0)
        features[mask] = rows
        if is_max:
            pooled = features.amax(dim=1)
        else:
            pooled = torch.einsum("bn,bnh->bh", self.weights(query, history, mask), features)
        has_items = mask.any(dim=-1)[:, None, None]
        pooled = pooled * has_items[:, :, 0]
        embedding = self.projector.out(pooled).unflatten(-1, (self.config.soft_tokens, -1))
        return torch.where(has_items, embedding, self.no_history.to(embedding.dtype))

    def forward(self, query, history: Tensor, mask: Tensor, features: Tensor | None = None) -> Tensor:
        """The soft prompt `[I ; P^u]`, *Paper: Eq. 5*, at the scale of the LLM's own token embeddings.

        Args:
            query: As in `user_embedding`.
            history: As in `user_embedding`.
            mask: As in `user_embedding`.
            features: As in `user_embedding`.

        Returns:
            `[B, tokens, H]` float.

        Note:
            The paper does not scale. The release multiplies by 539.9738, which is about the length of one
            FLAN-T5-XXL embedding; here the length is measured on the LLM at hand.
        """
        parts = []
        if self.config.instruction:
            instruction = self.instruction
            if self.config.instruction_mlp:
                instruction = instruction(self.instruction_seed)[None]
            if not self.config.normalise:
                instruction = instruction / self.config.instruction_divisor
            instruction = self.normalised(instruction) * self.config.embedding_norm
            parts.append(instruction.expand(mask.shape[0], -1, -1))
        if self.config.crowd:
            parts.append(self.normalised(self.crowd()).expand(mask.shape[0], -1, -1) * self.config.embedding_norm)
        if self.config.user:
            part = self.user_part(self.user_embedding(query, history, mask, features)) * self.config.embedding_norm
            parts = [*parts[:-1], parts[-1] + part] if self.config.crowd else [*parts, part]
        return torch.cat([part.to(parts[0].dtype) for part in parts], dim=1)

    def user_part(self, embedding: Tensor) -> Tensor:
        """What a user embedding is in the soft prompt, in units of `embedding_norm`: `[..., H]` → `[..., H]` float."""
        return STEP * embedding if self.config.crowd else self.normalised(embedding)

    def normalised(self, tokens: Tensor) -> Tensor:
        """Soft tokens as the LLM is given them, in units of `embedding_norm`.

        Args:
            tokens: `[..., H]` float.

        Returns:
            `[..., H]` float: at unit length, or as they are where the config says `normalise=False`.
        """
        if not self.config.normalise:
            return tokens
        # The floor keeps a zero vector at zero, with a finite gradient.
        return tokens / tokens.norm(dim=-1, keepdim=True).clamp(min=SHORTEST)
