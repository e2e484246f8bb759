"""Downloading, with a made-up site: what is asked for, and that nothing but whole JSON files stays."""

import io
import json

import pytest

from pplug.data import DataError
from pplug.download import address, download

SITE = "https://ciir.cs.umass.edu/downloads/LaMP"
ALL = ["train_questions", "train_outputs", "dev_questions", "dev_outputs", "test_questions"]


class Site:
    """Answers every address with JSON that names it, or with what `answers` says for it."""

    def __init__(self, **answers: bytes):
        self.answers, self.asked = answers, []

    def __call__(self, where: str) -> io.BytesIO:
        self.asked.append(where)
        name = where.rsplit("/", 1)[1].removesuffix(".json")
        answer = self.answers.get(name, json.dumps([where]).encode())
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("LaMP-1", "train", "questions"), f"{SITE}/time/LaMP_1/train/train_questions.json"),
        (("LaMP_4", "dev", "outputs"), f"{SITE}/time/LaMP_4/dev/dev_outputs.json"),
        (("LaMP-7", "test", "questions", False), f"{SITE}/LaMP_7/test/test_questions.json"),
        (("LaMP-2", "train", "questions"), f"{SITE}/time/LaMP_2/new/train/train_questions.json"),
        (("LaMP_2", "dev", "outputs", False), f"{SITE}/LaMP_2/new/dev/dev_outputs.json"),
    ],
)
def test_addresses(arguments, expected):
    assert address(*arguments) == expected


def test_an_unknown_task_has_no_address(tmp_path):
    with pytest.raises(ValueError, match="unknown task 'LaMP-6'"):
        download(tmp_path / "x", "LaMP-6", open_address=Site())
    assert names(tmp_path / "x") == []


@pytest.mark.parametrize("time_based", [True, False])
def test_all_files_but_the_withheld_test_outputs(tmp_path, time_based):
    site = Site()
    assert download(tmp_path / "deep" / "LaMP_2", "LaMP-2", time_based, site) == tmp_path / "deep" / "LaMP_2"
    assert site.asked == [address("LaMP-2", *name.split("_"), time_based) for name in ALL]
    assert names(tmp_path / "deep" / "LaMP_2") == sorted(f"{name}.json" for name in ALL)
    for name, where in zip(ALL, site.asked, strict=True):
        assert json.loads((tmp_path / "deep" / "LaMP_2" / f"{name}.json").read_text()) == [where]


def test_files_that_are_there_are_kept_and_not_asked_for(tmp_path):
    (tmp_path / "dev_outputs.json").write_text("mine")
    site = Site()
    download(tmp_path, "LaMP-3", open_address=site)
    assert (tmp_path / "dev_outputs.json").read_text() == "mine"
    assert [where.rsplit("/", 1)[1] for where in site.asked] == [
        f"{name}.json" for name in ALL if name != "dev_outputs"
    ]
    download(tmp_path, "LaMP-3", open_address=site)
    assert len(site.asked) == 4, "a second call asks for nothing"


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"<!DOCTYPE html><html><body>Not here</body></html>", "HTML page"),
        (b"\n  <html></html>", "HTML page"),
        (b'[{"id": "1", "inp', "truncated"),
        (b"", "truncated"),
    ],
)
def test_what_is_no_json_is_refused_by_its_address_and_not_left_behind(tmp_path, answer, what):
    with pytest.raises(DataError, match=what) as caught:
        download(tmp_path, "LaMP-4", open_address=Site(dev_questions=answer))
    assert str(caught.value).startswith(f"{SITE}/time/LaMP_4/dev/dev_questions.json: expected JSON")
    assert names(tmp_path) == ["train_outputs.json", "train_questions.json"], "the good ones before it stay"
    download(tmp_path, "LaMP-4", open_address=Site())
    assert len(names(tmp_path)) == len(ALL), "a second try goes on"


def test_a_broken_connection_leaves_nothing_behind(tmp_path):
    class Breaks(io.BytesIO):
        def read(self, size):
            if self.tell():
                raise ConnectionResetError
            return super().read(2)

    with pytest.raises(ConnectionResetError):
        download(tmp_path, "LaMP-4", open_address=lambda where: Breaks(b"[1, 2]"))
    assert names(tmp_path) == []
    with pytest.raises(OSError, match="no network"):
        download(tmp_path, "LaMP-4", open_address=Site(train_questions=OSError("no network")))
    assert names(tmp_path) == []


def test_a_file_larger_than_a_block_arrives_whole(tmp_path):
    large = json.dumps(["x" * (3 << 20)]).encode()
    download(tmp_path, "LaMP-4", open_address=Site(train_questions=large))
    assert (tmp_path / "train_questions.json").read_bytes() == large
