"""The field in one table and one picture, from the list of methods: `python -m tools.field` writes the picture."""

from collections.abc import Callable
from html import escape
from pathlib import Path

from pplug.base.files import write_text
from pplug.rivals.methods import METHODS
from pplug.rivals.systems import CALL, COSTS, ENCODING, NOBODY, NOT_KNOWN, PERSONALISED, Method
from pplug.study.records import markdown
from pplug.study.tables import NOT_OURS
from tools.diagram import STYLE

FILE = Path(__file__).resolve().parent.parent / "docs" / "figures" / "field.svg"
PAGES = {"compared": "[simulated](rivals.md)", "people": "[real](results.md)"}  # of a method's rows
SHOWN = 1  # row that is named; the others are counted

WIDTH, EDGE = 720, 8
COLUMNS = dict(zip(COSTS, (20, 212, 414, 560), strict=True))  # where each begins
LONGEST_HEAD = 12  # letters of one line over a column
TOP, HEAD, LINE, GAP = 104, 30, 28, 8  # of the first band; a band's heading, one method, between bands
MORE = """
.left { text-anchor: start }
.name { text-anchor: start; font-size: 20px; font-weight: 500 }
.band { fill: var(--plain) }
.full { fill: var(--cold-line); stroke: var(--cold-line); stroke-width: 2.5 }
.hollow { fill: var(--page); stroke: var(--warm-line); stroke-width: 2.5 }
.none { stroke: var(--line); stroke-width: 2 }
"""


def has_row(method: Method) -> bool:
    """Whether the records hold a row of it."""
    return bool(method.compared or method.people)


def at(personalised: str, new_user: str) -> list[Method]:
    """The methods of one place."""
    return [m for m in METHODS if (m.personalised, m.new_user) == (personalised, new_user)]


def table() -> str:
    """All that the page says from the list: empty places, methods with rows, systems without one."""
    place: dict[str, Callable[[Method], str]] = {
        "personalised": lambda m: m.personalised,
        "for": lambda m: m.granularity,
        "technique": lambda m: m.technique,
        "stored for each user": lambda m: m.stored,
        "a new user costs": lambda m: m.new_user,
        "deleting a user": lambda m: m.deletion,
    }
    named = {"": lambda m: m.name, "stands for": system}
    ours, theirs = (
        markdown([*columns], [[tell(m) for tell in columns.values()] for m in METHODS if has_row(m) == known])
        for known, columns in (
            (True, named | place | {"rows": rows_of}),
            (False, named | place | {"why it has no row": lambda m: m.why}),
        )
    )
    return "\n\n".join([empty_places(), "## With rows here", ours, "## Without a row yet", theirs, rest()])


def system(method: Method) -> str:
    """What a method stands for, with its paper."""
    name = method.system or method.name
    return f"[{name}](https://arxiv.org/abs/{method.arxiv}) ({method.year})" if method.arxiv else name


def rows_of(method: Method) -> str:
    """Which rows of the records are a method's: the first of them, and how many more."""
    found = []
    for kind, page in PAGES.items():
        rows = getattr(method, kind)
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        found += [f"{page}: {', '.join(f'`{row}`' for row in rows[:SHOWN])}{more}"] * bool(rows)
    return "; ".join(found)


def empty_places() -> str:
    """Where nobody stands, and where only others do, in sentences."""
    places = {(what, cost): at(what, cost) for what in PERSONALISED if what != NOBODY for cost in COSTS}
    empty = {what: [cost for cost in COSTS if not places.get((what, cost), True)] for what in PERSONALISED}
    told = "; ".join(f"*{what}* at the cost of {_or(costs)}" for what, costs in empty.items() if costs)
    others = [
        f"*{what}* at the cost of {cost} ({', '.join(m.name for m in some)})"
        for (what, cost), some in places.items()
        if some and not any(map(has_row, some))
    ]
    unknown = [m.name for m in METHODS if m.new_user == NOT_KNOWN]
    return (
        f"**Empty places**, {sum(map(len, empty.values()))} of {len(places)}: {told}.\n\n"
        f"**Places where nothing was measured yet**: {'; '.join(others)}. What a new user costs is not known here for "
        f"{' and '.join(unknown)}, which stand beside the columns."
    )


def _or(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1])] * bool(words[1:]) + words[-1:])


def rest() -> str:
    """The paper's rivals that the list has not."""
    return (
        f"The PPlug paper's {', '.join(NOT_OURS[:-1])} and {NOT_OURS[-1]} are not in this list; "
        "[the comparison](rivals.md) shows the paper's numbers for them."
    )


def picture() -> str:
    """The SVG: a band for each of what is personalised, a column for each cost; hollow is what has no row."""
    y, bands = TOP, []
    for what in PERSONALISED:
        height = HEAD + LINE * max(len(at(what, cost)) for cost in COSTS) + 4
        bands += _band(what, y, height)
        y += height + GAP
    heads = []
    for cost, x in COLUMNS.items():
        words = cost.split(" ", 1) if len(cost) > LONGEST_HEAD else [cost]
        heads += [
            f'<text class="left" x="{x}" y="{y}">{part}</text>'
            for part, y in zip(reversed(words), (90, 66), strict=False)
        ]
    legend = _mark("full", "has rows in the records", 20, y + 24) + _mark("hollow", "has no row yet", 300, y + 24)
    legend += f'<path class="none" d="M498 {y + 17}h14"/><text class="name" x="522" y="{y + 24}">empty place</text>'
    size = (WIDTH, y + 42)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" '
        f'height="{size[1]}" role="img" aria-labelledby="title desc">',
        '<title id="title">What each method personalises, and what a new user costs</title>',
        f'<desc id="desc">{escape(_description())}</desc>',
        f"<style>{STYLE}{MORE}</style>",
        f'<rect class="page" x="0" y="0" width="{size[0]}" height="{size[1]}" rx="12"/>',
        '<text class="name" x="20" y="32">Bands: what is personalised. Columns: what a new user costs.</text>',
        *heads,
        *bands,
        legend,
        "</svg>\n",
    ]
    return "\n".join(lines)


def _band(what: str, y: int, height: int) -> list[str]:
    parts = [
        f'<rect class="band" x="{EDGE}" y="{y}" width="{WIDTH - 2 * EDGE}" height="{height}" rx="6"/>',
        f'<text class="left" x="20" y="{y + 24}">{what}</text>',
    ]
    if beside := at(what, NOT_KNOWN):
        parts.append(f'<text class="name" x="{COLUMNS[ENCODING]}" y="{y + 24}">cost not known:</text>')
        parts += [_mark_of(m, COLUMNS[CALL] + 110 * number, y + 24) for number, m in enumerate(beside)]
    for cost, x in COLUMNS.items():
        parts += [_mark_of(m, x, y + HEAD + 22 + LINE * number) for number, m in enumerate(at(what, cost))]
        if what != NOBODY and not at(what, cost):
            parts.append(f'<path class="none" d="M{x} {y + HEAD + 15}h14"/>')
    return parts


def _mark_of(method: Method, x: int, y: int) -> str:
    return _mark("full" if has_row(method) else "hollow", method.label or method.name, x, y)


def _mark(kind: str, name: str, x: int, y: int) -> str:
    return (
        f'<circle class="{kind}" cx="{x + 7}" cy="{y - 7}" r="6"/><text class="name" x="{x + 20}" y="{y}">{name}</text>'
    )


def _description() -> str:
    """What the picture says to whoever cannot see it."""
    told = []
    for what in PERSONALISED:
        for cost in (*COSTS, NOT_KNOWN):
            names = [f"{m.label or m.name}{'' if has_row(m) else ' (no row yet)'}" for m in at(what, cost)]
            told += [f"{what}, {cost}: {', '.join(names)}."] * bool(names)
    return " ".join(["What is personalised, what a new user costs: the methods there.", *told])


def write(file: Path = FILE) -> None:
    """Write the picture."""
    file.parent.mkdir(exist_ok=True)
    write_text(file, picture())


if __name__ == "__main__":
    write()
