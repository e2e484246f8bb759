"""Files that are whole or not there, hashes, and where the cache is."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pplug
from pplug.files import cache_folder, file_hash, replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "er" / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == path.parent, "a rename is atomic within one folder only"
        assert not path.exists()
    assert path.read_text() == "whole" and names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [None, "old"])
def test_an_interrupted_write_leaves_what_was_there(tmp_path, error, before):
    path = tmp_path / "a.txt"
    if before:
        path.write_text(before)
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("ha")
        assert before is None or path.read_text() == before
        raise error
    assert names(tmp_path) == (["a.txt"] if before else [])
    assert before is None or path.read_text() == before


def test_nothing_written_is_an_error_and_keeps_the_old(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


def test_text_that_cannot_be_encoded_leaves_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "half \ud800")
    assert names(tmp_path) == []


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_text_is_written_as_utf_8(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    write_text(path, "old")
    write_text(str(path), text)
    assert path.read_bytes() == text.encode("utf-8")


def test_hash_is_of_all_bytes_in_order(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"\x00one\n"), second.write_bytes(b"two\xff")
    assert file_hash(first, second) == hashlib.sha256(b"\x00one\ntwo\xff").hexdigest()
    assert len({file_hash(first), file_hash(second), file_hash(first, second), file_hash(str(second), first)}) == 4
    assert file_hash() == hashlib.sha256().hexdigest()


def test_the_variable_says_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("PPLUG_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_the_cache_is_in_the_repository(monkeypatch, value):
    monkeypatch.delenv("PPLUG_CACHE") if value is None else monkeypatch.setenv("PPLUG_CACHE", value)
    assert cache_folder() == Path(pplug.__file__).parent.parent / ".cache" / "pplug"
