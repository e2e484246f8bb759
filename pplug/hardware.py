"""What the machine can do."""


def has_bfloat16(device: str) -> bool:
    """Whether a device (`"cpu"`, `"cuda"`, ...) has bfloat16 instructions: newer GPUs, and some processors."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    known = torch.cpu.get_capabilities()
    return device == "cpu" and bool(known.get("avx512_bf16") or known.get("amx_bf16"))
