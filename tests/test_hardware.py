"""What the machine can do."""

import torch

from pplug.base.hardware import has_bfloat16


def test_bfloat16_is_what_the_processor_says_of_itself(monkeypatch):
    for known in ({}, {"avx512_bf16": True}, {"amx_bf16": True}, {"avx2": True}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known)
        assert has_bfloat16("cpu") == any("bf16" in name for name in known)
        assert not has_bfloat16("mps")
