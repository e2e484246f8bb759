"""Figures: one style, one function a figure, `ax` in and `ax` out."""

import numpy as np

from pplug.base import needing

# Okabe and Ito's colours: told apart by readers with any colour vision; grey is kept for what is not the point.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
GREY = "#8a8a8a"
# The same condition has the same colour in every lesson: her own embedding, another's, one for everyone, none.
HERS, ANOTHERS, EVERYONES, NOBODYS = COLOURS[0], COLOURS[1], GREY, "#bdbdbd"


def use_style() -> None:
    """Set the project's matplotlib style; in a notebook, each figure also brings a text for those who cannot see it."""
    with needing("notebooks"):
        import matplotlib as mpl

    mpl.rcParams.update(
        {
            "figure.dpi": 150,
            "savefig.bbox": "tight",
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.prop_cycle": mpl.cycler(color=COLOURS[:6]),
            "legend.frameon": False,
            "legend.fontsize": 9,
        }
    )
    _bring_texts()


def _bring_texts() -> None:
    from IPython import get_ipython

    if get_ipython() is None:
        return
    import matplotlib_inline.backend_inline  # noqa: F401 - it registers a formatter, and ours is to come behind it
    from IPython.core.pylabtools import print_figure
    from matplotlib.figure import Figure

    def with_text(figure):
        return print_figure(figure, "png", base64=True), {"alt": alt_text(figure)}

    get_ipython().display_formatter.formatters["image/png"].for_type(Figure, with_text)


def alt_text(figure) -> str:
    """What stands on a figure, for those who cannot see it: each panel's title, axes and legend."""
    told = []
    for ax in figure.axes:
        if ax.get_label() == "<colorbar>":
            continue
        words = [ax.get_title(loc="left") or ax.get_title()]
        words += [f"{way}: {label}" for way, label in (("across", ax.get_xlabel()), ("up", ax.get_ylabel())) if label]
        if ax.images:  # a table in colours
            sides = (("columns", ax.get_xticklabels()), ("rows", ax.get_yticklabels()))
            words += [f"{side}: {', '.join(label.get_text() for label in labels)}" for side, labels in sides]
        named = [label for label in ax.get_legend_handles_labels()[1] if label]
        words += ["shown: " + ", ".join(dict.fromkeys(named))] if named else []
        if any(words):
            told.append("; ".join(word.replace("\n", " ") for word in words if word))
    return f"Figure of {len(told)} part{'s' * (len(told) != 1)}. " + ". ".join(told) + "."


def scatter(ax, points, labels, title: str = "", names: dict | None = None, size: float = 18):
    """Draw a map of points coloured by a category.

    Args:
        ax: Axes to draw into.
        points: `[n, 2]`, positions.
        labels: `[n]`, one category each.
        title: Of the axes.
        names: Category → words for the legend; the category itself if None.
        size: Of a point, in points squared.

    Returns:
        The axes.
    """
    points, labels = np.asarray(points), np.asarray(labels)
    for colour, label in zip(COLOURS * 3, sorted(set(labels.tolist())), strict=False):
        chosen = labels == label
        shown = (names or {}).get(label, label)
        ax.scatter(*points[chosen].T, s=size, color=colour, label=shown, alpha=0.8, linewidths=0)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, handletextpad=0.1, columnspacing=1.0)
    return _map_axes(ax, title)


def scatter_halves(ax, points, halves: dict, title: str = "", size: float = 6):
    """Draw a map whose points show two categories at once, one in each half.

    Args:
        ax: Axes to draw into.
        points: `[n, 2]`, positions.
        halves: What the left and what the right half shows → `[n]`, one category each; equal ones share a colour.
        title: Of the axes.
        size: Of a point, in points.

    Returns:
        The axes.
    """
    points, (left, right) = np.asarray(points), map(np.asarray, halves.values())
    known = dict.fromkeys([*sorted(set(left.tolist())), *sorted(set(right.tolist()))])
    colours = dict(zip(known, COLOURS * 3, strict=False))
    for one, other in sorted(set(zip(left.tolist(), right.tolist(), strict=True))):
        chosen = (left == one) & (right == other)
        look = {"fillstyle": "left", "markerfacecolor": colours[one], "markerfacecoloralt": colours[other]}
        ax.plot(*points[chosen].T, "o", ms=size, markeredgewidth=0, **look)
    for label, colour in colours.items():
        ax.plot([], [], "o", color=colour, label=label)
    sides = ", ".join(f"{side}: {what}" for side, what in zip(("left half", "right half"), halves, strict=True))
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, handletextpad=0.1, columnspacing=1.0, title=sides
    )
    return _map_axes(ax, title)


def scatter_scale(ax, points, values, title: str = "", label: str = "", size: float = 18, log: bool = False):
    """Draw a map of points coloured by a number, with a colour bar.

    Args:
        ax: Axes to draw into.
        points: `[n, 2]`, positions.
        values: `[n]`, one number each; with `log`, positive.
        title: Of the axes.
        label: Of the colour bar.
        size: Of a point, in points squared.
        log: Whether the colour scale is logarithmic.

    Returns:
        The axes.
    """
    points = np.asarray(points)
    drawn = ax.scatter(
        *points.T, s=size, c=values, cmap="viridis", norm="log" if log else None, alpha=0.85, linewidths=0
    )
    ax.figure.colorbar(drawn, ax=ax, label=label, shrink=0.8)
    return _map_axes(ax, title)


def _map_axes(ax, title: str):
    ax.set(title=title, xticks=[], yticks=[])  # a map's axes have no unit
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return ax


def loss_curve(ax, curve: list[dict], label: str = "", colour: str = COLOURS[0], floor: float | None = None):
    """Draw a training's loss and dev loss over its steps.

    Args:
        ax: Axes to draw into.
        curve: From `training.train`: rows with `step` and `loss` or `eval_loss`.
        label: Name of the run.
        colour: Of both lines.
        floor: A reference loss, drawn as a grey line.

    Returns:
        The axes.
    """
    for key, style, what in (("loss", ":", "train"), ("eval_loss", "-", "dev")):
        rows = [row for row in curve if key in row]
        ax.plot([r["step"] for r in rows], [r[key] for r in rows], style, color=colour, label=f"{label} {what}".strip())
    if floor is not None:
        ax.axhline(floor, color=GREY, lw=1)
    ax.set(xlabel="step", ylabel="loss per token (nats)")
    ax.legend()
    return ax


def intervals(ax, named: dict, highlight: str | None = None, zero: bool = False, xlabel: str = ""):
    """Draw one mean with its 95 % interval a row, first row on top.

    Args:
        ax: Axes to draw into.
        named: Row name → `evaluate.Interval`, or anything with `mean`, `low` and `high`.
        highlight: The row that is the point of the figure; the others are grey.
        zero: Whether to draw a line at zero, for differences.
        xlabel: Of the axes.

    Returns:
        The axes.
    """
    for y, (name, i) in enumerate(named.items()):
        colour = COLOURS[0] if highlight is None or name == highlight else GREY
        ax.plot([i.low, i.high], [y, y], color=colour, lw=2)
        ax.plot([i.mean], [y], "o", color=colour, ms=6)
    if zero:
        ax.axvline(0, color="black", lw=0.8)
    ax.set_yticks(range(len(named)), list(named))
    ax.set_ylim(len(named) - 0.5, -0.5)
    ax.set_xlabel(xlabel)
    return ax


def weights_bar(ax, weights, labels: list[str], title: str = "", colours: list[str] | None = None):
    """Draw the weight of each history item as horizontal bars, with a line at the uniform weight.

    Args:
        ax: Axes to draw into.
        weights: `[n]`, summing to 1.
        labels: One a bar.
        title: Of the axes.
        colours: One a bar; all alike if None.

    Returns:
        The axes.
    """
    weights = np.asarray(weights)
    ax.barh(range(len(weights)), weights, color=colours or COLOURS[0])
    ax.axvline(1 / len(weights), color=GREY, lw=1, ls="--", label="uniform")
    ax.set_yticks(range(len(weights)), labels)
    ax.invert_yaxis()
    ax.set(title=title, xlabel="weight")
    ax.legend(loc="lower right")
    return ax


def share_map(ax, values, rows: list[str], columns: list[str], sure):
    """Draw a table of shares between -1 and 1 as colours with their numbers.

    Args:
        ax: Axes to draw into.
        values: `[rows, columns]`; NaN is left white.
        rows: Names.
        columns: Names.
        sure: `[rows, columns]`, whether a number is printed in bold.

    Returns:
        The axes.
    """
    values = np.asarray(values, dtype=float)
    drawn = ax.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour, weight = "white" if abs(value) > 0.6 else "black", "bold" if sure[i][j] else "normal"
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, weight=weight, color=colour)
    ax.figure.colorbar(drawn, ax=ax, label="share of the error removed", shrink=0.5)
    return ax


def interval_line(ax, at: list[float], found: list, label: str, colour: str):
    """Draw a line of means with its 95 % intervals shaded.

    Args:
        ax: Axes to draw into.
        at: Positions.
        found: An `evaluate.Interval` for each.
        label: For the legend.
        colour: Of line and shade.

    Returns:
        The axes.
    """
    ax.plot(at, [i.mean for i in found], color=colour, marker="o", ms=4, label=label)
    ax.fill_between(at, [i.low for i in found], [i.high for i in found], color=colour, alpha=0.15, linewidth=0)
    return ax
