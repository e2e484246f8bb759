"""Work in the projector, bytes of a checkpoint, time of an import."""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.released import HISTORY_SLOTS
from benchmarks.shapes import ReadyTokens, flan_t5_small
from benchmarks.timing import alternate
from pplug.method.encoders import load_encoder
from pplug.method.personalized import build


def rows() -> list[dict]:
    """Count the projector's multiply-adds, weigh a checkpoint, time `import pplug`."""
    llm, encoder = flan_t5_small(), load_encoder(device="cpu")
    torch.manual_seed(0)
    model = build(llm, ReadyTokens(), encoder)
    D, H = encoder.width, llm.config.d_model
    pooled, each = projector_work(D, H, HISTORY_SLOTS)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        kept = sum(path.stat().st_size for path in Path(folder).iterdir())
    whole = sum(p.numel() * p.element_size() for p in [*llm.parameters(), *model.plug.parameters()])
    seconds = alternate({"nothing": lambda: _python("pass"), "import": lambda: _python("import pplug")})
    return [
        {
            "what": "projector at 512 items, multiply-adds ÷ both layers for each item",
            "goal": "≤ 1/2",
            "value": pooled / each,
            "detail": f"{pooled / 1e6:.0f} against {each / 1e6:.0f} million (D = {D}, H = {H})",
        },
        {
            "what": "checkpoint, bytes ÷ plug and LLM together",
            "goal": "plug only",
            "value": kept / whole,
            "detail": f"{kept / 1e6:.2f} against {whole / 1e6:.0f} MB",
        },
        {
            "what": "`import pplug`, seconds beyond starting Python",
            "goal": "≤ 0.3",
            "value": seconds["import"] - seconds["nothing"],
            "detail": "heavy libraries load when used",
        },
    ]


def projector_work(D: int, H: int, N: int) -> tuple[int, int]:
    """Multiply-adds for N items: pooled before the second layer, and both layers for each item."""
    return N * D * H + H * H, N * (D * H + H * H)


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parent.parent)
