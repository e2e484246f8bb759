"""A JSON list read in parts is the list read at once, wherever a part ends; anything else is refused with its place."""

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.base import reading
from pplug.base.errors import DataError
from pplug.base.json_stream import json_items

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), some, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def in_parts(monkeypatch, tmp_path):
    """Write a text and read its items in parts of so many bytes."""

    def items(text: str | bytes, size: int) -> list:
        monkeypatch.setattr(reading, "BLOCK", size)
        path = tmp_path / "list.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return list(json_items(path, "a list of things"))

    return items


@settings(max_examples=60)
@given(
    values=st.lists(VALUES, max_size=5), size=st.integers(1, 40), indent=st.sampled_from([None, 1]), ascii=st.booleans()
)
def test_the_items_are_those_of_the_whole_list(tmp_path_factory, values, size, indent, ascii):
    path = tmp_path_factory.mktemp("list") / "list.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=ascii), encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", size)
        assert list(json_items(path, "a list")) == values


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_every_cut_is_refused(in_parts, size):
    text = json.dumps([{"a": "ü\\u00e9 x", "b": [1.5e3, -2, None]}, True, 12345, "end"], indent=1)
    assert in_parts(text, size) == json.loads(text)
    for end in range(len(text)):
        with pytest.raises(DataError, match="expected JSON, but it is malformed or truncated"):
            in_parts(text[:end], size)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("[1 2]", 1, 4),
        ("[1,\n 2,,3]", 2, 4),
        ("[1,\n2,\n]", 3, 1),
        ('[{"a": 1},\n{"b" 2}]', 2, 6),
        ("[1]\n]", 2, 1),
        ("[1, nil]", 1, 5),
        ("[,]", 1, 2),
    ],
)
def test_what_is_malformed_is_refused_with_line_and_column(in_parts, text, line, column, size):
    with pytest.raises(DataError, match=rf"malformed or truncated: .*: line {line} column {column}$"):
        in_parts(text, size)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": []}', "expected a list of things"),
        ("null", "expected a list of things"),
        (" <html>", "found an HTML page"),
        ("", "malformed or truncated"),
        ("[" * 100_000, "nested less deeply"),
        ("[" + "9" * 10_000 + "]", "numbers of fewer digits"),
        ('["a\\ud800"]', "half of a pair"),
        (b'["a",\n"\xe9"]', "line 2: expected a file in UTF-8, found the byte 0xe9"),
    ],
)
def test_what_is_no_list_is_refused(in_parts, text, told):
    with pytest.raises(DataError, match=told):
        in_parts(text, 8)


def test_a_byte_order_mark_is_read_over(in_parts):
    assert in_parts(b"\xef\xbb\xbf[1]", 2) == [1]


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "long.json"
    item = json.dumps({"text": "x" * 1000})
    path.write_text("[" + ",".join([item] * 20_000) + "]")
    tracemalloc.start()
    assert sum(1 for _ in json_items(path, "a list")) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 2


def test_time_grows_with_the_item_not_its_square(in_parts, monkeypatch):
    tried = []
    decode = reading.decode_json
    monkeypatch.setattr(
        "pplug.base.json_stream.decode_json", lambda *given: tried.append(len(given[0])) or decode(*given)
    )
    assert in_parts(json.dumps(["x" * 100_000]), 100) == ["x" * 100_000]
    assert sum(tried) < 8 * 100_000
