"""Small real LLMs, built from their libraries' configs, and a history encoder that needs no weights."""

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pplug.method.batches import Example
from pplug.offline.standin_training import train_tokenizer

WIDTH = 8  # D of the made-up history vectors


CHAT = (  # a template as chat models have one
    "{% for turn in messages %}<{{ turn['role'] }}> {{ turn['content'] }} <end>{% endfor %}"
    "{% if add_generation_prompt %} <answer>{% endif %}"
)


def save_llm(kind: str, folder, seed: int = 0, chat: bool = False):
    """Save a small `t5`, `llama` or `qwen` with a tokenizer, on request with a chat template; returns the folder."""
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
        T5Config,
        T5ForConditionalGeneration,
    )

    torch.manual_seed(seed)
    tokenizer = train_tokenizer(["generate a headline for the following article", "one two three four"] * 5, 400)
    shared = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1}
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    if kind == "t5":
        config = T5Config(
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            decoder_start_token_id=0,
            **shared,
        )
        llm = T5ForConditionalGeneration(config)
    elif kind == "llama":
        llm = LlamaForCausalLM(LlamaConfig(num_key_value_heads=2, bos_token_id=None, **layers, **shared))
    else:
        llm = Qwen2ForCausalLM(
            Qwen2Config(num_key_value_heads=1, bos_token_id=None, tie_word_embeddings=True, **layers, **shared)
        )
    llm.save_pretrained(folder)
    if chat:
        tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class MadeUpEncoder:
    """Stands where an encoder's width, name and key are asked for; its vectors are made by `vectors`."""

    name: str = "made-up"
    width: int = WIDTH
    key: str = "made-up"
    fingerprint: str = "made-up"
    module: torch.nn.Module | None = None


def vectors(n: int, seed: int = 0, width: int = WIDTH) -> np.ndarray:
    """`[n, width] float16` unit vectors."""
    drawn = np.random.default_rng(seed).normal(size=(n, width))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


def example(tokenizer, text: str, target: str, n: int, seed: int = 0, seq2seq: bool = True) -> Example:
    """An example with a made-up history of `n` items."""
    target_ids = tokenizer(target)["input_ids"]
    input_ids = tokenizer(text)["input_ids"]
    if not seq2seq:  # these tokenizers close every text with </s>; a decoder-only prompt must stay open
        input_ids = input_ids[:-1]
    return Example(input_ids, target_ids, vectors(n, seed), vectors(1, seed + 1000)[0], text)


def examples(model, n: int = 12) -> list[Example]:
    """Examples for a small model, with histories of 0 to 4 items."""
    seq2seq = model.is_encoder_decoder
    return [example(model.tokenizer, f"one {i}", "two three", i % 5, i, seq2seq) for i in range(n)]


def store_as(folder, dtype: torch.dtype):
    """Write a saved decoder-only LLM's weights in another precision, as the hub has them; returns the folder."""
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).save_pretrained(folder)
    return folder


def loss_and_gradients(model, batch: dict, **options) -> tuple[float, dict[str, torch.Tensor]]:
    """A batch's loss, and the gradient of each of the plug's tensors that has one."""
    model.zero_grad()
    loss = model(**batch, **options)["loss"]
    loss.backward()
    named = model.plug.named_parameters()
    return loss.item(), {name: p.grad.clone() for name, p in named if p.grad is not None and p.grad.any()}


def cosines(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> list[float]:
    """Of tensors of the same names."""
    assert some and some.keys() == others.keys()
    return [float(torch.cosine_similarity(some[n].flatten(), others[n].flatten(), dim=0)) for n in some]


@contextmanager
def logits_counted(llm):
    """Yields a list that grows by how many positions the output layer computes, each time it does."""
    seen = []
    hook = llm.get_output_embeddings().register_forward_hook(lambda _, __, logits: seen.append(logits.shape[1]))
    try:
        yield seen
    finally:
        hook.remove()


def weight_hash(module: torch.nn.Module) -> str:
    """A hash of every parameter and buffer, bit for bit."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_saved(folder) -> tuple[dict, dict]:
    """A saved plug's facts, its config among them as `"plug"`, and its weights."""
    from safetensors import safe_open

    with safe_open(Path(folder) / "plug.safetensors", "pt") as file:
        return json.loads(file.metadata()["pplug"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def write_saved(folder, facts: dict | str, weights: dict) -> None:
    """Write a saved plug as it would be with these facts, or with this text in their place, and these weights."""
    from safetensors.torch import save

    told = facts if isinstance(facts, str) else json.dumps(facts)
    (Path(folder) / "plug.safetensors").write_bytes(save(weights, metadata={"pplug": told}))
