"""The page of all methods: the picture is what the code draws, nobody is missing, and empty places are named."""

import re
from xml.etree import ElementTree

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from pplug.rivals.methods import METHODS
from pplug.rivals.systems import COSTS, NOBODY, NOT_KNOWN, PERSONALISED
from tools import field

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_the_committed_picture_is_what_the_code_draws(tmp_path):
    field.write(tmp_path / "field.svg")
    drawn = (tmp_path / "field.svg").read_text(encoding="utf-8")
    assert drawn == field.FILE.read_text(encoding="utf-8"), "run `python -m tools.field`"


def test_every_method_is_drawn_once_and_hollow_without_a_row():
    root = ElementTree.fromstring(field.picture())
    texts, told = [text.text for text in root.iter(f"{NAMESPACE}text")], root.find(f"{NAMESPACE}desc").text
    kinds = [circle.get("class") for circle in root.iter(f"{NAMESPACE}circle")]
    rows = sum(map(field.has_row, METHODS))
    assert (kinds.count("full"), kinds.count("hollow")) == (rows + 1, len(METHODS) - rows + 1)  # one in the legend
    for method in METHODS:
        label = method.label or method.name
        assert label in told and texts.count(label) == 1 + (label in PERSONALISED), label


def test_no_name_reaches_into_the_next_column():
    """Measured in DejaVu Sans, the widest font of the picture's list."""
    ends = dict(zip(COSTS, [*list(field.COLUMNS.values())[1:], field.WIDTH - field.EDGE], strict=True))
    font = FontProperties(family="DejaVu Sans", size=20)
    for method in METHODS:
        if method.new_user != NOT_KNOWN:
            width = TextPath((0, 0), method.label or method.name, prop=font).get_extents().xmax
            assert field.COLUMNS[method.new_user] + 20 + width < ends[method.new_user], method.name


def test_empty_places_are_those_where_nobody_is():
    told = re.search(r"\*\*Empty places\*\*, (\d+) of (\d+): (.*?)\.\n", field.empty_places())
    places = [(what, cost) for what in PERSONALISED if what != NOBODY for cost in COSTS]
    empty = [place for place in places if not field.at(*place)]
    assert (int(told[1]), int(told[2])) == (len(empty), len(places))
    for part in told[3].split("; "):
        what, costs = re.fullmatch(r"\*(.*)\* at the cost of (.*)", part).groups()
        assert re.split(r", | or ", costs) == [cost for of, cost in empty if of == what]
    assert field.picture().count('class="none"') == len(empty) + 1  # one in the legend


def test_the_table_has_a_line_for_each_method():
    lines = [line for line in field.table().splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines if line[2:5] not in ("---", " | ")] == [
        method.name for known in (True, False) for method in METHODS if field.has_row(method) == known
    ]


def test_few_rows_are_named_and_the_others_counted():
    (plug,) = (method for method in METHODS if method.name == "PPlug")
    assert field.rows_of(plug).startswith("[simulated](rivals.md): `plug` and ")
    assert f"{len(plug.compared) - field.SHOWN} more; [real](results.md): " in field.rows_of(plug)
