"""The frozen LLM: loading it with its tokenizer."""

import os
from pathlib import Path

import torch

from pplug.base.errors import loading
from pplug.base.files import PACKAGE
from pplug.base.hardware import own_device, shard
from pplug.base.progress import no_loading_bars, no_old_advice

SHIPPED = PACKAGE / "weights" / "standin"


def is_standin(name: str) -> bool:
    """Whether an LLM, by the name or folder it was loaded from, is a stand-in."""
    return name == "standin" or (Path(name) / "recipe.json").exists()


def load_llm(name: str, sharded: bool = False):
    """Load a frozen LLM and its tokenizer.

    Args:
        name: `"standin"` for the small T5 that ships with the project; else any Hugging Face name or folder,
            encoder-decoder or decoder-only.
        sharded: Whether to spread it over the processes of `accelerate launch` (`hardware.shard`).

    Returns:
        `(llm, tokenizer)`: the LLM in evaluation mode with every parameter frozen, in bfloat16 on a GPU. One process
        with several GPUs spreads its layers over them.
    """
    path = str(SHIPPED) if name == "standin" else name
    device = own_device()
    on_gpu = device != "cpu"
    with no_loading_bars(), loading("llm", name):
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        kind = AutoModelForSeq2SeqLM if AutoConfig.from_pretrained(path).is_encoder_decoder else AutoModelForCausalLM
        # On a processor the fused attention's backward pass is the slower one: half of a bfloat16 training step.
        options = {} if on_gpu else {"attn_implementation": "eager"}
        is_spread = torch.cuda.device_count() > 1 and "LOCAL_RANK" not in os.environ
        if is_spread:
            options["device_map"] = "auto"
        precision = torch.bfloat16 if on_gpu else torch.float32
        llm = kind.from_pretrained(path, dtype=precision, use_safetensors=True, **options)  # never a pickle
        tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.pad_token is None:  # Llama's has none
        tokenizer.pad_token = tokenizer.eos_token
    if llm.config.model_type == "encoder-decoder":
        no_old_advice()
    llm = llm.eval().requires_grad_(False)
    if sharded:
        shard(llm)
    return (llm if is_spread or sharded else llm.to(device)), tokenizer


def embedding_norm(llm) -> float:
    """The mean length of the LLM's token embeddings, as they enter its first layer."""
    table = llm.get_input_embeddings()
    with torch.no_grad():  # through the module, because some LLMs (Gemma) scale inside it
        ids = torch.arange(table.weight.shape[0], device=table.weight.device)
        return float(table(ids).float().norm(dim=-1).mean())
