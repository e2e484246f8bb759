"""What defines a plug apart from its weights; checked, since it may come from a file that anyone has written."""

from dataclasses import dataclass, fields

from pplug.base import InputError, is_value, shown

POOLINGS = ("attention", "mean", "last", "max")
PLACES = ("input", "answer")


KINDS = {  # type of a field: its check, and what an error expects
    int: (lambda value: is_value(value) and isinstance(value, int), "a whole number, at least {least}"),
    float: (lambda value: is_value(value) and not isinstance(value, str) and 0 < value < 1e30, "a number above 0"),
    bool: (lambda value: isinstance(value, bool), "true or false"),
    str: (lambda value: isinstance(value, str), "text"),
}


@dataclass(frozen=True)
class PlugConfig:
    """Everything that defines a plug, apart from its weights.

    Attributes:
        encoder_width: D, the width of the history vectors.
        llm_width: H, the width of the LLM's token embeddings.
        embedding_norm: Length that soft tokens are scaled to: the mean length of the LLM's own token embeddings,
            see `model.embedding_norm`.
        pooling: How history items become one vector: `attention` (Eq. 3), `mean`, `last` (the newest item) or `max`.
        soft_tokens: P, tokens a user embedding is spread over; the paper's is 1.
        instruction: Whether there is an instruction embedding `I`.
        instruction_mlp: Whether `I` comes out of an MLP of its own, as in the authors' release.
        user: Whether there is a user embedding; without it the plug is the *instruction only* control.
        learn_temperature: Whether the attention's temperature is trained; the paper's is fixed at 1.
        top_k: Keep only the K items of largest weight (the paper's *selection*); 0 keeps all.
        train_input_encoder: Whether the input encoder is fully trained (the paper); otherwise it is the frozen
            history encoder under a trained linear map.
        full_query: Whether the input encoder reads the whole input; otherwise the part after the template.
        with_label: Whether the history text carries the user's own tag or score.
        normalise: Whether soft tokens are brought to `embedding_norm`; if not, they are multiplied by it.
        instruction_divisor: What the instruction embedding is divided by where tokens are not normalised (the release:
            7.0); of a normalised one, only the direction counts.
        crowd: Whether there are soft tokens for everyone, which the user embedding moves (crowd.py); not in the paper.
        dropout: Share of a user's numbers that a `crowd` plug leaves out at each step of its training.
        before: What the soft prompt stands in front of: `input` (the paper's), or `answer`, behind all that a
            decoder-only LLM is asked. Then nothing that is asked depends on the user, and is computed once for all.
            With `user=False` it is prompt tuning with as many soft tokens.
        max_history: Most items of a history that are used, the newest ones; 0 uses all.
    """

    encoder_width: int
    llm_width: int
    embedding_norm: float
    pooling: str = "attention"
    soft_tokens: int = 1
    instruction: bool = True
    instruction_mlp: bool = False
    user: bool = True
    learn_temperature: bool = False
    top_k: int = 0
    train_input_encoder: bool = False
    full_query: bool = False
    with_label: bool = True
    normalise: bool = True
    instruction_divisor: float = 1.0
    crowd: bool = False
    dropout: float = 0.0
    before: str = "input"
    max_history: int = 0

    @property
    def features_width(self) -> int:
        """Width of what is kept of each item of a served user: of what the projector's `features` gives."""
        return self.encoder_width if self.crowd else self.llm_width

    def __post_init__(self):
        for field in fields(self):
            check, what = KINDS[field.type]
            least = 0 if field.name in ("top_k", "max_history") else 1
            value = getattr(self, field.name)
            if field.name == "dropout" and value == 0:
                continue
            if not check(value) or (field.type is int and value < least):
                what = what.format(least=least)
                raise InputError(f"{field.name}: expected {what}, found {shown(repr(value))}")
        if self.pooling not in POOLINGS:
            raise InputError(f"unknown pooling {shown(self.pooling)!r}: expected one of {', '.join(POOLINGS)}")
        if self.before not in PLACES:
            raise InputError(f"before: expected one of {', '.join(PLACES)}, found {shown(repr(self.before))}")
        if self.dropout >= 1 or (self.dropout and not (self.crowd and self.user)):
            raise InputError("dropout: expected a share below 1, of a plug with crowd=True and a user embedding")
        if self.top_k and self.pooling != "attention":
            raise InputError(f"top_k selects by attention weight: it needs pooling 'attention', not {self.pooling!r}")
        if not (self.user or self.instruction or self.crowd):
            raise InputError("a plug needs a user embedding, an instruction embedding, or both")
