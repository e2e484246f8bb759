"""Comparing an executed notebook with the committed one: are the numbers the same, near, or others?

On the machine that made the committed outputs they are the same. On another, sums are rounded differently, a trained
plug ends a little elsewhere, and a few answers change: `NEAR` is the promise then, for all but a few lines.
"""

import re
from dataclasses import dataclass
from itertools import zip_longest

NEAR = 0.1  # a number may differ by this much, or by this share of itself
FAR_SHARE = 0.05  # of a notebook's lines with numbers, those that may differ by more
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
# Times, speeds and memory differ from run to run; lines with one are left out, and so is what a graph is drawn with.
MOMENT = re.compile(r"\b(ms|s|h|minutes?|hours?|seconds?|[KMG]i?B|GFLOP\w*|\w+/s|faster|slower|object at 0x\w+)\b|×")


@dataclass(frozen=True)
class Rerun:
    """How a notebook's lines with numbers compare with the committed ones.

    Attributes:
        same: Lines that are the same to the last digit.
        near: Lines with a number that is `NEAR`, and none that is further.
        far: All other lines, as `cell: committed | now`.
    """

    same: int
    near: int
    far: list[str]

    @property
    def agrees(self) -> bool:
        """Whether few enough lines are far."""
        return len(self.far) <= FAR_SHARE * (self.same + self.near + len(self.far))


def compare(committed, executed) -> Rerun:
    """Compare the text outputs of two notebooks, line by line.

    Args:
        committed: A notebook with outputs.
        executed: The same, executed again.
    """
    same, near, far = 0, 0, []
    for number, (old, new) in enumerate(zip_longest(_lines(committed), _lines(executed), fillvalue=[])):
        for before, now in zip_longest(old, new, fillvalue=""):
            values = [[float(n.replace(",", "")) for n in NUMBER.findall(line)] for line in (before, now)]
            if values[0] == values[1]:
                same += bool(values[0])
            elif len(values[0]) == len(values[1]) and all(map(_is_near, *values)):
                near += 1
            else:
                far.append(f"code cell {number + 1}: {before[:60]} | {now[:60]}")
    return Rerun(same, near, far)


def _is_near(a: float, b: float) -> bool:
    return abs(a - b) <= max(NEAR, NEAR * max(abs(a), abs(b)))


def _lines(notebook) -> list[list[str]]:
    """For each code cell, the lines of its text outputs that do not tell of the moment."""
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            data = (output.get("data", {}) for output in cell.outputs)
            texts = [output.get("text", "") for output in cell.outputs]
            texts += [content.get("text/markdown", content.get("text/plain", "")) for content in data]
            cells.append([line for text in texts for line in text.splitlines() if not MOMENT.search(line)])
    return cells
