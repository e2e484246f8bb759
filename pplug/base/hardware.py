"""What the machine can do, and how a large LLM is spread over several."""

import os


def has_bfloat16(device: str) -> bool:
    """Whether a device (`"cpu"`, `"cuda"`, ...) has bfloat16 instructions: newer GPUs, and some processors."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    known = torch.cpu.get_capabilities()
    return device == "cpu" and bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def own_device() -> str:
    """The device of this process: its own card under `accelerate launch`, the first where there is one, the CPU."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def process_place() -> tuple[int, int]:
    """Which of how many processes this is, under `accelerate launch` on one machine or several: `(0, 1)` if alone."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def shard(llm) -> None:
    """Spread a frozen LLM's layers over the processes of `accelerate launch`: for one that no single card can hold.

    Each process keeps its part of every layer; a layer is put together just before it computes (torch's FSDP). What
    lies outside the layers, the token embeddings and the output layer, stays whole in every process.

    Args:
        llm: From `load_llm`, still on the CPU; changed in place and moved to `own_device()`.
    """
    from accelerate import PartialState
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from transformers.modeling_layers import GradientCheckpointingLayer

    device = own_device()
    state = PartialState(cpu=device == "cpu")
    mesh = init_device_mesh(device.split(":")[0], (state.num_processes,))
    for layer in [module for module in llm.modules() if isinstance(module, GradientCheckpointingLayer)]:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    llm.to(device)
