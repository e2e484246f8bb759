"""What tells one frozen LLM or encoder from another, whatever its name: hashes of its settings, tokenizer and weights.

A fingerprint is a row of parts, `DIGITS` hexadecimal digits each, so that what differs can be named. Weights are the
last part. They are hashed as bfloat16, so that an LLM has one fingerprint in single precision on a processor and in
bfloat16 on a GPU.
"""

import hashlib
import json

import torch
from torch import nn

DIGITS = 16
LLM_PARTS = ("config", "tokenizer", "weights")
ENCODER_PARTS = ("settings", "weights")
WHOLE = 2**28  # numbers; of a model that has more, a sample of each tensor is hashed
SAMPLE = 2**16  # numbers of each tensor then
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
NOT_THE_FUNCTION = (  # fields of a config that say how a model was loaded; so do those that begin with "_"
    *("transformers_version", "architectures", "dtype", "torch_dtype", "attn_implementation"),
    *("quantization_config", "use_cache"),
)


def llm_fingerprint(llm, tokenizer) -> str:
    """What decides an LLM's answers: config, tokenizer (chat template included) and weights.

    Args:
        llm: The LLM, from `load_llm` or one's own.
        tokenizer: Its tokenizer.

    Returns:
        `LLM_PARTS`, 48 hexadecimal digits. It is the same from any folder, on any device, and in single precision and
        bfloat16; in float16 or quantised the weights' part is another.

    Note:
        Of an LLM with more than `WHOLE` weights, a sample of each tensor is hashed: another training changes nearly all
        weights and is noticed, an edit of a single row may not be. Config and tokenizer are hashed as the installed
        transformers reads them; another version may read the same files otherwise.
    """
    ends = {name: getattr(getattr(llm, "generation_config", None), name, None) for name in TOKENS}
    config = _hash(json.dumps([_cleaned(llm.config.to_diff_dict()), ends], sort_keys=True, default=str))
    return config + tokenizer_hash(tokenizer) + weights_hash(llm)


def encoder_fingerprint(encoder) -> str:
    """What decides an encoder's vectors: its settings (tokeniser, pooling, prompts, width, longest text) and weights.

    Args:
        encoder: From `load_encoder`.

    Returns:
        `ENCODER_PARTS`, 32 hexadecimal digits, the same in whatever precision the hardware lets it compute.
    """
    longest = getattr(encoder.module, "max_seq_length", None)
    prompts = [getattr(encoder, name, "") for name in ("query_prompt", "text_prompt")]
    settings = json.dumps([encoder.fingerprint, encoder.width, longest, *prompts])
    return _hash(settings) + weights_hash(encoder.module)


def difference(parts: tuple[str, ...], one: str, other: str) -> set[str]:
    """The names of the parts in which two fingerprints differ."""
    places = [slice(DIGITS * number, DIGITS * (number + 1)) for number in range(len(parts))]
    return {part for part, place in zip(parts, places, strict=True) if one[place] != other[place]}


def tokenizer_hash(tokenizer) -> str:
    """Hash of all a tokenizer does: vocabulary, rules, special tokens, chat template, longest text."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(backend, "to_str"):
        rules = json.loads(backend.to_str())
        rules |= {"padding": None, "truncation": None}  # of the latest call
    else:  # in Python
        rules = [type(tokenizer).__name__, tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else None]
    names = ("special_tokens_map", "chat_template", "model_max_length")
    said = [rules, [getattr(tokenizer, name, None) for name in names]]
    return _hash(json.dumps(said, sort_keys=True, default=str))


def weights_hash(module: nn.Module | None) -> str:
    """Hash of a module's weights by name, shape and value, as bfloat16; see `llm_fingerprint` for large ones.

    Weights that are not in memory (offloaded to disk) count by name and shape. Where an LLM is spread over processes,
    all of them must call this.
    """
    digest = hashlib.sha256()
    weights = {} if module is None else {n: w for n, w in module.state_dict().items() if isinstance(w, torch.Tensor)}
    is_large = sum(weight.numel() for weight in weights.values()) > WHOLE
    for name, weight in sorted(weights.items()):
        digest.update(f"{name}{list(weight.shape)}".encode())
        if weight.is_meta:
            continue
        values = (weight.full_tensor() if hasattr(weight, "full_tensor") else weight.detach()).reshape(-1)
        if is_large:
            values = values[:: (len(values) // SAMPLE) | 1]  # odd: an even step may see a table's first columns alone
        if values.is_floating_point():
            values = values.to(torch.bfloat16)
        digest.update(values.cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()[:DIGITS]


def precision(llm) -> str:
    """What an LLM's weights are kept in: `"quantized"`, or the name of their type, such as `"bfloat16"`."""
    return "quantized" if getattr(llm, "is_quantized", False) else str(llm.dtype).removeprefix("torch.")


def has_same_weights(one: str, other: str) -> bool:
    """Whether weights in these two precisions have one hash if they are the same LLM's."""
    return {one, other} <= {"float32", "bfloat16"} or (one == other != "quantized")


def _cleaned(config):
    """A config without what does not change the function, in its parts' configs too."""
    if not isinstance(config, dict):
        return config
    kept = (name for name in config if name not in NOT_THE_FUNCTION and not str(name).startswith("_"))
    return {name: _cleaned(config[name]) for name in kept}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
