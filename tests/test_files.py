"""Files that are whole or not there, hashes, and where the cache is."""

import hashlib
import multiprocessing
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pplug
from pplug.base import files
from pplug.base.files import cache_folder, file_hash, remove_left, replacing, scratch, write_text


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


def test_a_failed_write_says_which_file_and_what_would_be_right(tmp_path):
    (tmp_path / "a").write_text("a file where a folder should be")
    with pytest.raises(OSError, match=r"a/b.txt: .*: not written.*expected a folder.*PPLUG_CACHE"):
        write_text(tmp_path / "a" / "b.txt", "x")
    with pytest.raises(OSError, match=r"c.txt: the disk is broken: not written"), replacing(tmp_path / "c.txt"):
        raise OSError("the disk is broken")


def test_a_folder_takes_its_name_when_it_is_whole_and_replaces_none(tmp_path):
    for content in ("first", "second"):
        try:
            with replacing(tmp_path / "a") as temporary:
                temporary.mkdir()
                (temporary / "x").write_text(content)
        except OSError:
            assert content == "second"
    assert names(tmp_path) == ["a"] and (tmp_path / "a" / "x").read_text() == "first"


def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_next_writer_removes_what_killed_processes_left(tmp_path):
    here, gone = files._here(), dead()
    (tmp_path / f".b.txt.{here}-{gone}.tmp").write_text("ha")
    (tmp_path / f".c.{here}-{gone}.tmp" / "deep").mkdir(parents=True)
    others = [f".d.{here}-{os.getppid()}.tmp", f".e.0a0a0a0a-{gone}.tmp", ".of.somebody.tmp", f"f.{here}-{gone}.tmp"]
    for name in others:  # of a running process, of another machine, of another program, not hidden
        (tmp_path / name).touch()
    write_text(tmp_path / "a.txt", "whole")
    assert names(tmp_path) == sorted(["a.txt", *others])
    for name in others:
        os.utime(tmp_path / name, times=(time.time() - 2 * files.DAY,) * 2)
    remove_left(tmp_path)
    assert names(tmp_path) == sorted(["a.txt", *others[2:]])  # after a day, nobody is writing there any more
    remove_left(tmp_path / "not there")


def test_the_cache_is_tidied_where_nobody_writes_again(tmp_path, monkeypatch):
    left = tmp_path / "plugs" / "deep" / f".plug.safetensors.{files._here()}-{dead()}.tmp"
    left.mkdir(parents=True)
    monkeypatch.setenv("PPLUG_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path and not left.exists() and left.parent.exists()


def test_a_process_that_was_killed_but_not_yet_seen_off_counts_as_gone(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    left = tmp_path / f".a.{files._here()}-{process.pid}.tmp"
    left.touch()
    remove_left(tmp_path)
    assert left.exists()
    process.kill()
    until = time.monotonic() + 30
    while left.exists() and time.monotonic() < until:
        remove_left(tmp_path)
    assert not left.exists()
    process.wait()


def test_what_stands_in_a_scratch_folder_is_removed(tmp_path):
    with pytest.raises(KeyError), scratch(tmp_path / "deep" / "a") as temporary:
        temporary.mkdir()
        (temporary / "x").touch()
        raise KeyError
    assert names(tmp_path / "deep") == []


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


def test_a_hash_holds_little_of_the_file(tmp_path):
    (tmp_path / "long").write_bytes(bytes(50 << 20))
    tracemalloc.start()
    file_hash(tmp_path / "long")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_the_cache_is_in_the_repository(monkeypatch, value):
    monkeypatch.delenv("PPLUG_CACHE") if value is None else monkeypatch.setenv("PPLUG_CACHE", value)
    root = Path(pplug.__file__).parent.parent
    assert files.checkout() == files.project_folder() == root and cache_folder() == root / ".cache" / "pplug"


@pytest.mark.fault(19)
def test_an_installed_package_keeps_nothing_beside_itself(monkeypatch, tmp_path):
    """As in site-packages: no repository around it, though perhaps another program's `.git`."""
    monkeypatch.setattr(files, "PACKAGE", tmp_path / "lib" / "site-packages" / "pplug")
    monkeypatch.delenv("PPLUG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "system"))
    monkeypatch.chdir(tmp_path)
    folder = cache_folder()
    assert not folder.is_relative_to(tmp_path / "lib") and folder.name == "pplug"
    assert folder == tmp_path / "system" / "pplug" or sys.platform != "linux"
    assert files.checkout() is None and files.project_folder() == tmp_path
    (tmp_path / "lib" / "site-packages" / ".git").mkdir(parents=True)
    assert files.checkout() is None


def _make_slowly(folder: str, told: str) -> None:
    def make(temporary: Path) -> None:
        with open(told, "a") as file:
            file.write("made\n")
        time.sleep(0.5)
        temporary.mkdir()
        (temporary / "whole").write_text("yes")

    assert (files.made_once(Path(folder), make) / "whole").read_text() == "yes"


def test_of_several_processes_one_makes_a_folder_and_the_others_wait(tmp_path):
    told = tmp_path / "told"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_make_slowly, args=(str(tmp_path / "made"), str(told))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0] and told.read_text() == "made\n"
