"""Figures: each function draws what it is given, into the axes it is given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pplug.data.intervals import Interval
from pplug.insight import plots


@pytest.fixture
def ax():
    figure, axes = plt.subplots()
    yield axes
    figure.canvas.draw()  # a figure that cannot be drawn is an error too
    plt.close(figure)


def test_scatter_draws_every_point_once_and_names_every_label(ax):
    points, labels = np.arange(20).reshape(10, 2), list("aabbbccccc")
    assert plots.scatter(ax, points, labels, "map", names={"a": "first"}) is ax
    drawn = np.concatenate([c.get_offsets() for c in ax.collections])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, points.astype(float)))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["first", "b", "c"]


def test_scatter_gives_different_labels_different_colours(ax):
    plots.scatter(ax, np.zeros((6, 2)), range(6))
    assert len({tuple(c.get_facecolor()[0]) for c in ax.collections}) == 6


def test_scatter_scale_has_a_labelled_colour_bar(ax):
    plots.scatter_scale(ax, np.zeros((3, 2)), [1, 10, 100], label="items", log=True)
    assert ax.figure.axes[-1].get_ylabel() == "items"


def test_loss_curve_draws_train_and_dev(ax):
    plots.loss_curve(ax, [{"step": 1, "loss": 2.0}, {"step": 2, "eval_loss": 1.0}], label="plug", floor=0.5)
    drawn = {line.get_label(): line.get_ydata().tolist() for line in ax.lines if line.get_label()[0] != "_"}
    assert drawn == {"plug train": [2.0], "plug dev": [1.0]}


def test_intervals_draw_the_first_row_on_top_and_highlight_one(ax):
    plots.intervals(ax, {"a": Interval(1, 0.5, 2), "b": Interval(3, 2, 4)}, highlight="b", zero=True)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"] and ax.yaxis_inverted()
    assert ax.lines[0].get_xdata().tolist() == [0.5, 2]
    assert ax.lines[0].get_color() == plots.GREY and ax.lines[2].get_color() == plots.COLOURS[0]


def test_weights_bar_marks_the_uniform_weight(ax):
    plots.weights_bar(ax, [0.7, 0.2, 0.1], ["x", "y", "z"])
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.2, 0.1]
    assert ax.lines[0].get_xdata()[0] == pytest.approx(1 / 3)


def test_the_style_can_be_set_in_a_plain_process():
    plots.use_style()
    assert plt.rcParams["axes.spines.top"] is False


def test_a_share_map_prints_its_numbers_and_leaves_what_is_missing(ax):
    plots.share_map(ax, [[0.5, np.nan], [-0.25, 0.9]], ["a", "b"], ["x", "y"], [[True, False], [False, True]])
    assert {t.get_text(): t.get_weight() for t in ax.texts} == {"0.50": "bold", "-0.25": "normal", "0.90": "bold"}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert {t.get_text(): t.get_color() for t in ax.texts}["0.90"] == "white"


def test_a_line_of_intervals_is_shaded_from_low_to_high(ax):
    plots.interval_line(ax, [0, 1], [Interval(1, 0.5, 2), Interval(3, 2, 4)], "a", "red")
    assert ax.lines[0].get_ydata().tolist() == [1, 3]
    shade = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert shade.min() == 0.5 and shade.max() == 4


def test_two_halves_show_two_categories(ax):
    points = np.arange(8).reshape(4, 2)
    assert plots.scatter_halves(ax, points, {"hard": list("aabb"), "soft": list("abab")}, "map") is ax
    drawn = [line for line in ax.lines if len(line.get_xdata())]
    assert sorted(tuple(xy) for line in drawn for xy in line.get_xydata()) == sorted(map(tuple, points.astype(float)))
    looks = {(line.get_markerfacecolor(), line.get_markerfacecoloralt()) for line in drawn}
    assert len(looks) == 4 and {colour for look in looks for colour in look} == set(plots.COLOURS[:2])
    legend = ax.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["a", "b"]
    assert legend.get_title().get_text() == "left half: hard, right half: soft"


def test_a_figure_has_words_for_those_who_cannot_see_it(ax):
    ax.plot([1], [2], label="plug")
    ax.set(title="Who gains", xlabel="items", ylabel="nats\nper token")
    assert plots.alt_text(ax.figure) == "Figure of 1 part. Who gains; across: items; up: nats per token; shown: plug."


def test_a_table_in_colours_has_its_rows_and_columns_in_words(ax):
    plots.share_map(ax, [[0.5, 0.1]], ["plug"], ["first", "second"], [[True, False]])
    assert plots.alt_text(ax.figure) == "Figure of 1 part. columns: first, second; rows: plug."
