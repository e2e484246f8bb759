"""The method in one picture, drawn as SVG text for light and dark pages: `python -m tools.diagram` writes the files."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from pplug.base.files import write_text

FOLDER = Path(__file__).resolve().parent.parent / "notebooks" / "figures"
WIDTH, HEIGHT = 720, 404  # at 390 px of a phone, its letters of 21 are still 11 px high
COLUMN, GAP, LEFT = 120, 20, 10
ROWS = (16, 112, 214, 322)  # top of each row of boxes
TALL = 64

# What the picture says to whoever cannot see it.
DESCRIPTION = (
    "A user's history goes through a frozen encoder. Weights, which depend on the new message through a trained input "
    "encoder, say how much each past text counts. The weighted sum goes through a trained projector and becomes one "
    "user embedding, P^u. It stands, behind a trained instruction embedding I, before the words of the message; the "
    "frozen LLM reads all three and answers."
)


@dataclass(frozen=True)
class Box:
    """One part of the picture.

    Attributes:
        kind: "frozen", "trained" or "made" (texts, and what is computed without a weight of its own).
        lines: What is written in it.
        column: Where it starts, in columns.
        row: Which of `ROWS` it stands in.
        columns: How wide it is, in columns.
    """

    kind: str
    lines: tuple[str, ...]
    column: float
    row: int
    columns: int = 1

    @property
    def x(self) -> float:
        return LEFT + self.column * (COLUMN + GAP)

    @property
    def y(self) -> int:
        return ROWS[self.row]

    @property
    def width(self) -> int:
        return self.columns * COLUMN + (self.columns - 1) * GAP


BOXES = {
    "input encoder": Box("trained", ("input", "encoder"), 2, 0),
    "message": Box("made", ("new", "message"), 3, 0),
    "history": Box("made", ("history",), 0, 1),
    "encoder": Box("frozen", ("encoder",), 1, 1),
    "weights": Box("made", ("weights",), 2, 1),
    "sum": Box("made", ("sum",), 3, 1),
    "projector": Box("trained", ("projector",), 4, 1),
    "I": Box("trained", ("I",), 2, 2),
    "P": Box("made", ('P<tspan dy="-8" font-size="15">u</tspan>',), 3, 2),
    "words": Box("made", ("words",), 4, 2),
    "LLM": Box("frozen", ("LLM",), 2, 3, 3),
    "answer": Box("made", ("answer",), 1, 3),
}
STATIONS = {  # what each lesson is about; the picture without a mark is `whole`
    "whole": (),
    "data": ("history", "message"),
    "encoder": ("encoder",),
    "weights": ("weights", "sum"),
    "projector": ("projector",),
    "map": ("P",),
    "evaluation": ("answer",),
    "users": ("history",),
    "time": ("encoder", "LLM"),
    "leaks": ("P",),
    "people": ("history", "LLM"),
}
_down = TALL + 2
ARROWS = (  # each as its corners; the last one is the tip
    *(((130 + at * 140, 144), (149 + at * 140, 144)) for at in range(4)),  # along the upper row
    ((430, 48), (411, 48)),  # message → input encoder
    ((350, ROWS[0] + _down), (350, ROWS[1] - 4)),  # input encoder → weights
    ((550, 48), (708, 48), (708, 246), (692, 246)),  # message → words
    ((630, ROWS[1] + _down), (630, 195), (490, 195), (490, ROWS[2] - 4)),  # projector → P
    *(((350 + at * 140, ROWS[2] + _down), (350 + at * 140, ROWS[3] - 4)) for at in range(3)),  # tokens → LLM
    ((290, 354), (271, 354)),  # LLM → answer
)
LEGEND = (("frozen", "frozen"), ("trained", "trained"), ("made", "text or computed"))

STYLE = """
svg { --page: #ffffff; --ink: #1b1f24; --line: #57606a; --cold: #d3e6fa; --cold-line: #1f5fa8;
  --warm: #ffe0b8; --warm-line: #a85500; --plain: #f3f4f6; --here: #b3127a }
@media (prefers-color-scheme: dark) {
  svg { --page: #12161c; --ink: #eceff4; --line: #9aa5b1; --cold: #173a5e; --cold-line: #79b8ff;
    --warm: #5a3510; --warm-line: #ffb25c; --plain: #242a33; --here: #ff7ac6 }
}
.page { fill: var(--page) }
text { fill: var(--ink); text-anchor: middle;
  font: 600 21px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
.legend { font-size: 19px; font-weight: 400; text-anchor: start }
.frozen { fill: var(--cold); stroke: var(--cold-line); stroke-width: 2.5 }
.trained { fill: var(--warm); stroke: var(--warm-line); stroke-width: 2.5 }
.made { fill: var(--plain); stroke: var(--line); stroke-width: 1.5 }
.flake { fill: none; stroke: var(--cold-line); stroke-width: 2 }
.turn { fill: none; stroke: var(--warm-line); stroke-width: 2 }
.arrow { fill: none; stroke: var(--line); stroke-width: 2.5 }
.tip { fill: var(--line) }
.bracket { fill: none; stroke: var(--ink); stroke-width: 2.5 }
.here { fill: none; stroke: var(--here); stroke-width: 5 }
"""


def _rect(x: float, y: float, width: float, height: float, kind: str, corner: int) -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{corner}"/>'


def _sign(x: float, y: float, kind: str) -> str:
    """So that frozen and trained differ without colours: a snowflake, and an arrow that goes round."""
    if kind == "frozen":
        strokes = (f"M{x - a:g} {y - b:g}L{x + a:g} {y + b:g}" for a, b in ((7, 0), (3.5, 6), (3.5, -6)))
        return f'<path class="flake" d="{"".join(strokes)}"/>'
    if kind == "trained":
        return f'<path class="turn" d="M{x + 4:g} {y - 4:g}A6 6 0 1 0 {x + 6:g} {y + 2:g}M{x:g} {y - 5:g}h5v-5"/>'
    return ""


def _box(box: Box) -> str:
    """A box with what is written in it; frozen ones have sharp corners, trained ones round ones."""
    corner = {"frozen": 0, "trained": 16, "made": 4}[box.kind]
    parts = [_rect(box.x, box.y, box.width, TALL, box.kind, corner)]
    if box.lines == ("history",):  # many texts: sheets behind the first
        parts = [_rect(box.x + s, box.y - s, box.width - 8, TALL, "made", corner) for s in (8, 4)]
        parts.append(_rect(box.x, box.y, box.width - 8, TALL, "made", corner))
    middle = box.x + box.width / 2 - (4 if box.lines == ("history",) else 0)
    first = box.y + TALL / 2 + 7 - 12 * (len(box.lines) - 1)
    for at, line in enumerate(box.lines):
        parts.append(f'<text x="{middle:g}" y="{first + 24 * at:g}">{line}</text>')
    parts.append(_sign(box.x + box.width - 14, box.y + 14, box.kind))
    return "".join(parts)


def _arrow(corners: tuple[tuple[float, float], ...]) -> str:
    (x0, y0), (x, y) = corners[-2:]
    dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
    way = "".join(f"{'ML'[at > 0]}{a:g} {b:g}" for at, (a, b) in enumerate((*corners[:-1], (x - 6 * dx, y - 6 * dy))))
    ends = [(x, y), *((x - 10 * dx - side * 6 * dy, y - 10 * dy - side * 6 * dx) for side in (1, -1))]
    tip = "L".join(f"{a:g} {b:g}" for a, b in ends)
    return f'<path class="arrow" d="{way}"/><path class="tip" d="M{tip}z"/>'


def _legend(marked: bool) -> str:
    parts = []
    for at, (kind, name) in enumerate([*LEGEND, ("here", "in this lesson")][: 3 + marked]):
        y = 204 + 27 * at
        parts.append(_rect(LEFT + 3, y, 30, 19, kind, {"frozen": 0, "trained": 8}.get(kind, 4)))
        parts.append(_sign(LEFT + 18, y + 10, kind))
        parts.append(f'<text class="legend" x="{LEFT + 44}" y="{y + 16}">{name}</text>')
    return "".join(parts)


def picture(station: str) -> str:
    """The SVG with one station marked.

    Args:
        station: One of `STATIONS`.

    Returns:
        The file's text.
    """
    marked = STATIONS[station]
    told = f" Marked: {', '.join('P^u' if name == 'P' else name for name in marked)}." if marked else ""
    top, bottom = ROWS[2] - 8, ROWS[2] + TALL + 8
    brackets = f"M288 {top}h-9V{bottom}h9M692 {top}h7V232M699 260V{bottom}h-7"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-labelledby="title desc">',
        '<title id="title">How PPlug personalises a frozen LLM</title>',
        f'<desc id="desc">{escape(DESCRIPTION + told)}</desc>',
        f"<style>{STYLE}</style>",
        _rect(0, 0, WIDTH, HEIGHT, "page", 12),
        f'<path class="bracket" d="{brackets}"/>',
        *(_box(box) for box in BOXES.values()),
        *(_arrow(corners) for corners in ARROWS),
        *(_rect(BOXES[n].x - 5, BOXES[n].y - 5, BOXES[n].width + 10, TALL + 10, "here", 8) for n in marked),
        _legend(bool(marked)),
        "</svg>\n",
    ]
    return "\n".join(lines)


def write(folder: Path = FOLDER) -> list[Path]:
    """Write the picture of every station; returns the files."""
    paths = [folder / f"pipeline-{station}.svg" for station in STATIONS]
    for path, station in zip(paths, STATIONS, strict=True):
        write_text(path, picture(station))
    return paths


if __name__ == "__main__":
    write()
