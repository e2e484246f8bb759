"""The picture of the method: the files are what the code draws, and it can be read everywhere."""

import re
from xml.etree import ElementTree

import pytest

from tools import diagram

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_the_committed_pictures_are_what_the_code_draws(tmp_path):
    drawn = {path.name: path.read_text(encoding="utf-8") for path in diagram.write(tmp_path)}
    kept = {path.name: path.read_text(encoding="utf-8") for path in diagram.FOLDER.glob("*.svg")}
    assert drawn == kept, "run `python -m tools.diagram`"


@pytest.mark.parametrize("station", diagram.STATIONS)
def test_it_marks_its_station_and_says_so(station):
    root = ElementTree.fromstring(diagram.picture(station))
    title, told = root.find(f"{NAMESPACE}title").text, root.find(f"{NAMESPACE}desc").text
    marked = root.findall(f"{NAMESPACE}rect[@class='here']")
    names = diagram.STATIONS[station]
    assert "PPlug" in title and diagram.DESCRIPTION in told
    assert len(marked) == len(names) + bool(names)  # the last one is the legend's
    assert all(name in told for name in names)


def test_it_is_light_and_dark_and_needs_nothing_from_outside():
    text = diagram.picture("whole")
    light, dark = text.split("@media (prefers-color-scheme: dark)")
    colours = re.compile(r"--[\w-]+: #\w{6}")
    assert len(colours.findall(light)) == len(colours.findall(dark)) > 5
    assert not re.search(r"href|url\(|@import|<script", text)


def test_frozen_and_trained_parts_are_named_and_differ_without_colour():
    text = diagram.picture("whole")
    frozen = sum(box.kind == "frozen" for box in diagram.BOXES.values())
    trained = sum(box.kind == "trained" for box in diagram.BOXES.values())
    assert (frozen, trained) == (2, 3)
    assert (text.count('class="flake"'), text.count('class="turn"')) == (frozen + 1, trained + 1)
    assert all(f">{name}</text>" in text for _, name in diagram.LEGEND)


def test_no_box_lies_on_another_or_outside():
    boxes = list(diagram.BOXES.values())
    for at, a in enumerate(boxes):
        assert a.x >= 0 and a.x + a.width <= diagram.WIDTH and a.y + diagram.TALL <= diagram.HEIGHT
        for b in boxes[at + 1 :]:
            assert a.row != b.row or a.x + a.width <= b.x or b.x + b.width <= a.x
