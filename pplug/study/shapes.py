"""The shapes of well-known LLMs and encoders, so that they can be counted and imitated without a download.

Facts from the models' published configuration files.
"""

from functools import cache

T5 = {"feed_forward_proj": "gated-gelu", "vocab_size": 32128, "tie_word_embeddings": False, "decoder_start_token_id": 0}
SHAPES = {  # name on the hub → kind of config, its fields
    "google/flan-t5-small": ("T5", T5 | {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6}),
    "google/flan-t5-base": ("T5", T5 | {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12}),
    "google/flan-t5-xl": ("T5", T5 | {"d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_heads": 32}),
    "google/flan-t5-xxl": ("T5", T5 | {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}),
    "meta-llama/Llama-3.1-8B-Instruct": (
        "Llama",
        {
            "vocab_size": 128256,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "tie_word_embeddings": False,
        },
    ),
    "Qwen/Qwen2.5-7B-Instruct": (
        "Qwen2",
        {
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "tie_word_embeddings": False,
        },
    ),
    "minilm": ("Bert", {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6}),
    "BAAI/bge-small-en-v1.5": ("Bert", {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 12}),
    "BAAI/bge-base-en-v1.5": ("Bert", {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}),
}


def make_config(name: str, **changes):
    """A model's transformers config.

    Args:
        name: One of `SHAPES`.
        **changes: Fields to set otherwise, such as fewer layers.

    Raises:
        ValueError: The shape is not known here.
    """
    import transformers

    if name not in SHAPES:
        raise ValueError(f"the shape of {name!r} is not known here; known are {', '.join(SHAPES)}")
    kind, fields = SHAPES[name]
    return getattr(transformers, f"{kind}Config")(**(fields | changes))


def make_model(name: str, **changes):
    """A model of this shape with random weights; inside `torch.device("meta")` it takes no memory."""
    import transformers

    config = make_config(name, **changes)
    kind = SHAPES[name][0]
    ending = {"T5": "ForConditionalGeneration", "Bert": "Model"}.get(kind, "ForCausalLM")
    return getattr(transformers, f"{kind}{ending}")(config)


@cache
def count(name: str) -> dict[str, int]:
    """Count a model's parameters.

    Returns:
        `total`, `width` (of a token embedding), and what one token passes through: `encoder` and `decoder` for an
        encoder-decoder LLM (with its output layer), else `decoder` alone, or `encoder` alone for a text encoder.
        Embedding tables that are only looked up in are not passed through.
    """
    import torch

    with torch.device("meta"):
        model = make_model(name)
    total = sum(p.numel() for p in model.parameters())
    table = model.get_input_embeddings().weight
    kind, found = SHAPES[name][0], {"width": table.shape[1]}
    if kind == "T5":  # a new model ties its output layer to the table; FLAN-T5's checkpoints have one of its own
        blocks = {p: sum(w.numel() for w in getattr(model, p).block.parameters()) for p in ("encoder", "decoder")}
        return found | blocks | {"total": total + table.numel(), "decoder": blocks["decoder"] + table.numel()}
    return found | {"total": total, ("encoder" if kind == "Bert" else "decoder"): total - table.numel()}
