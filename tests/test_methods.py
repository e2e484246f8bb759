"""The list of methods: every row of the records has its method there, and no method claims a row that is in none."""

import json
from collections import Counter

import pytest

from pplug.data import RETRIEVERS
from pplug.rivals import per_user
from pplug.rivals.inputs import ITEMS
from pplug.rivals.methods import METHODS
from pplug.rivals.systems import COSTS, NOBODY, NOT_KNOWN, PERSONALISED, SYSTEMS
from pplug.study import names, tables
from pplug.study.people_tables import TRIED
from pplug.study.records import FOLDER

FOLDERS = {"compared": ("compare-*", "again-*"), "people": ("people*",)}
KINDS = ("scores", "nats", "who", "replies")  # what a record holds, row by row
PLACE = ("personalised", "granularity", "technique", "stored", "new_user", "deletion")
GOES_ON = "the same"  # as the line above


def recorded(kind: str) -> set[str]:
    """All rows of the records of `compare`, or of `people`, but those of what was tried."""
    paths = [path for pattern in FOLDERS[kind] for path in FOLDER.glob(f"{pattern}/*.json")]
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.parent.name != TRIED]
    assert records
    return {row for record in records for what in KINDS for row in record.get(what, {})}


def claimed(kind: str) -> list[str]:
    """All rows that methods of the list claim."""
    return [row for method in METHODS for row in getattr(method, kind)]


@pytest.mark.parametrize("kind", FOLDERS)
def test_rows_of_the_records_and_of_the_list_are_the_same(kind):
    assert recorded(kind) - set(claimed(kind)) == set(), "add them to a method of pplug/rivals/methods.py"
    assert set(claimed(kind)) - recorded(kind) == set(), "no record holds them"


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_row_has_one_method(kind):
    assert [row for row, n in Counter(claimed(kind)).items() if n > 1] == []


def test_what_was_tried_are_variants_of_methods():
    known = tuple(method.name for method in METHODS)
    for path in FOLDER.glob(f"{TRIED}/*.json"):
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
            assert row["what"].startswith((*known, GOES_ON)), row["what"]


def test_a_method_has_rows_or_a_reason():
    for method in METHODS:
        assert bool(method.compared or method.people) != bool(method.why), method.name
    assert all(method.why and method.arxiv for method in SYSTEMS)


def test_every_method_has_its_place_and_no_two_the_same():
    for method in METHODS:
        assert method.personalised in PERSONALISED and method.new_user in (*COSTS, NOT_KNOWN), method.name
        assert all(getattr(method, what) for what in PLACE), method.name
    places = [tuple(getattr(method, what) for what in PLACE) for method in METHODS]
    labels = [method.label or method.name for method in METHODS]
    assert len(set(places)) == len({method.name for method in METHODS}) == len(set(labels)) == len(METHODS)


def test_the_year_is_of_the_arxiv_number():
    assert {m.name: m.year for m in METHODS if m.name in ("PPlug", "DEP", "crowd plug")} == {
        "PPlug": "2024",
        "DEP": "2025",
        "crowd plug": "",
    }


def test_the_lists_of_the_code_are_in_it():
    rows = set(claimed("compared"))
    assert {names.items_row(how, k) for how in RETRIEVERS for k in ITEMS} <= rows
    assert {f"{way} for each user" for way in per_user.METHODS} <= rows
    assert set(tables.PAPERS) <= rows
    assert {*names.EVALUATED, *names.WITHOUT_USER} <= rows


def test_who_knows_nobody_is_no_rival():
    known_to_none = {row for m in METHODS if m.personalised == NOBODY for row in m.compared}
    assert known_to_none <= set(names.WITHOUT_USER)
