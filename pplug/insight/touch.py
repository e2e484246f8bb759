"""A map to touch: point at a person, click for more. One HTML page that needs neither a kernel nor a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import pi
from textwrap import shorten

import numpy as np

from pplug.base import needing
from pplug.data import HABITS, Data
from pplug.insight.maps import item_weights
from pplug.insight.plots import COLOURS
from pplug.insight.saying import item_told

RADIUS = 0.014  # of a point, as a share of the map
STYLE = """
body {font: 14px/1.45 sans-serif; margin: 0; color: #222; background: #fff}
.maps {display: flex; flex-wrap: wrap; gap: 12px} .map {flex: 1 1 300px; max-width: 460px}
h3 {font-size: 15px; margin: 4px 0} p {margin: 2px 0} b.dot {font-size: 18px; line-height: 0}
span {white-space: nowrap}
#told {border-top: 1px solid #ccc; margin-top: 6px; padding: 6px 2px; min-height: 3em; white-space: pre-line;
  columns: 340px; position: sticky; bottom: 0; max-height: 45vh; overflow: auto; background: #fff}
"""
CLICKED = """
const at = cb_data.source.selected.indices[0]
if (at !== undefined) document.getElementById("told").innerHTML = cb_data.source.data.told[at]
"""


@dataclass(frozen=True, eq=False)
class Panel:
    """One map of n people, each a point of two halves.

    Attributes:
        title: Stands above the map.
        points: `[n, 2]`, positions.
        halves: What the left and what the right half of a point shows → `[n]`, each person's label.
        pointed: n texts of some lines, for the pointer.
        clicked: n texts of some lines, for a click.
    """

    title: str
    points: np.ndarray
    halves: Mapping[str, Sequence[str]]
    pointed: Sequence[str]
    clicked: Sequence[str]


def page(panels: Sequence[Panel]) -> str:
    """The page with some maps side by side, and room below for what a click tells. Texts are shown as they are."""
    with needing("maps"):
        from bokeh.embed import components
        from bokeh.resources import Resources

    script, places = components([_drawn(panel) for panel in panels])
    maps = "".join(
        f'<div class="map"><h3>{escape(panel.title)}</h3>{_legend(panel)}{place}</div>'
        for panel, place in zip(panels, places, strict=True)
    )
    told = '<div id="told" aria-live="polite">Point at somebody. Click for more.</div>'
    head = (
        f'<meta charset="utf-8"><style>{STYLE}</style>{Resources("inline", components=["bokeh"]).render_js()}{script}'
    )
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body><div class="maps">{maps}</div>{told}</body></html>'


def framed(made: str, title: str, height: int = 700) -> str:
    """A page inside another, as a notebook's cell or a site shows it: neither's style reaches the other.

    Args:
        made: From `page`.
        title: What a screen reader says of it.
        height: Pixels.
    """
    inside = made.replace("&", "&amp;").replace("'", "&#39;")
    style = f"width:100%; height:{height}px; border:0"
    return f"<div><iframe title='{escape(title)}' style='{style}' srcdoc='{inside}'></iframe></div>"


def told_of_users(model, data: Data, rows: list[dict], labels: Mapping) -> tuple[list, list]:
    """What to tell of users whose texts may be shown.

    Args:
        model: A `PersonalizedLM`, whose plug weighs their items.
        data: Where the rows' profiles point to.
        rows: n questions of `data.splits[...]`, one for each user.
        labels: What is known of the users → `[n]`, each user's value.

    Returns:
        For the pointer: the user, what is known, the two newest items. For a click: question, answer, heaviest items.
    """
    pointed, clicked = [], []
    for number, (row, each) in enumerate(zip(rows, item_weights(model, data, rows), strict=True)):
        texts = [item_told(data.task, data.items[i]) for i in row["profile"]]
        known = [f"{what}: {values[number]}" for what, values in labels.items()]
        pointed.append("\n".join([row["user_id"], *known, "newest texts:", *texts[-2:]]))
        asked = [
            f"asked: {shorten(row['input'], 240, placeholder=' …')}",
            f"wrote: {row['output']}",
            "weight of each item:",
        ]
        clicked.append("\n".join([*asked, weighed(texts, each)]))
    return pointed, clicked


def told_of_people(manner: np.ndarray, few: Sequence[str]) -> tuple[list, list]:
    """What to tell of people whose texts may not be shown: how they write, in numbers.

    Args:
        manner: `[n, len(HABITS)]`, each person's mean of `data.style`.
        few: The habits for the pointer; a click tells all.
    """
    middle = np.median(manner, axis=0)
    pointed, clicked = [], []
    for number, row in enumerate(manner, 1):
        told = {
            habit: f"{habit} {x:.2f} (median person {m:.2f})" for habit, x, m in zip(HABITS, row, middle, strict=True)
        }
        pointed.append("\n".join([f"person {number}", *(told[habit] for habit in few)]))
        clicked.append("\n".join([f"person {number}, all counted habits:", *told.values()]))
    return pointed, clicked


def weighed(texts: Sequence[str], weights: Sequence[float], most: int = 5) -> str:
    """The heaviest of a person's items, a line each with its weight; of the rest the sum.

    Args:
        texts: The items.
        weights: Of each, summing to 1.
        most: Items with a line of their own.
    """
    order = np.argsort(-np.asarray(weights), kind="stable")
    lines = [f"{weights[i]:.2f}  {texts[i]}" for i in order[:most]]
    if len(order) > most:
        lines.append(f"{sum(weights[i] for i in order[most:]):.2f}  the other {len(order) - most} together")
    return "\n".join(lines)


def _colours(panel: Panel) -> dict[str, str]:
    labels = dict.fromkeys(label for half in panel.halves.values() for label in sorted(set(half)))
    return dict(zip(labels, COLOURS * 3, strict=False))


def _legend(panel: Panel) -> str:
    colours, lines = _colours(panel), {}
    for side, (what, half) in zip(("left", "right"), panel.halves.items(), strict=True):
        lines.setdefault(tuple(sorted(set(half))), []).append(f"{side} half: {escape(what)}")
    shown = [
        "; ".join(sides)
        + " – "
        + " ".join(f'<span><b class="dot" style="color:{colours[x]}">●</b> {escape(x)}</span>' for x in own)
        for own, sides in lines.items()
    ]
    return "".join(f"<p>{line}</p>" for line in shown)


def _drawn(panel: Panel):
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Range1d, TapTool
    from bokeh.plotting import figure

    points = np.asarray(panel.points, dtype=float)
    middle, span = (points.max(axis=0) + points.min(axis=0)) / 2, 1.08 * np.ptp(points, axis=0).max()
    sides = [Range1d(float(m - span / 2), float(m + span / 2)) for m in middle]
    drawn = figure(
        width=420,
        height=420,
        x_range=sides[0],
        y_range=sides[1],
        tools="pan,wheel_zoom,reset",
        toolbar_location="above",
    )
    drawn.sizing_mode = "scale_width"
    drawn.axis.visible = drawn.grid.visible = False  # a map's axes have no unit
    drawn.toolbar.logo = None
    colours, texts = _colours(panel), [_lines(text) for text in panel.pointed]
    source = ColumnDataSource({"x": points[:, 0], "y": points[:, 1], "pointed": texts})
    source.data["told"] = [escape(text) for text in panel.clicked]
    for start, half in zip((pi / 2, -pi / 2), panel.halves.values(), strict=True):
        source.data[f"half {start}"] = [colours[label] for label in half]
        look = {"fill_color": f"half {start}", "line_color": "white", "line_width": 0.5, "nonselection_alpha": 0.35}
        drawn.wedge("x", "y", span * RADIUS, start, start + pi, source=source, **look)
    drawn.add_tools(HoverTool(tooltips="@pointed{safe}"), TapTool(callback=CustomJS(code=CLICKED)))
    return drawn


def _lines(text: str) -> str:
    return '<div style="max-width:300px">' + escape(text).replace("\n", "<br>") + "</div>"
