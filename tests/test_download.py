"""Downloading from a local server that misbehaves: nothing but whole files of the right task takes its name."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pplug.__main__ import main
from pplug.base.errors import DataError
from pplug.base.files import project_folder
from pplug.data.loading import load
from pplug.offline.simulate import simulate
from pplug.sources import download as module
from pplug.sources.download import DownloadError, address, download

ALL = ["train_questions", "train_outputs", "dev_questions", "dev_outputs", "test_questions"]
HTML = b"<!DOCTYPE html><html><body>Not here</body></html>"


class Site:
    """A server with LaMP's files of simulated users; `faults` has a function for a file's name that answers instead."""

    def __init__(self, folder):
        self.folder, self.asked, self.faults = folder, [], {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[1]
                site.asked.append((self.path, self.headers.get("Range")))
                whole = (site.folder / name).read_bytes()
                site.faults.get(name.removesuffix(".json"), serve)(self, whole)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def serve(handler, whole: bytes, upto: int | None = None, knows_ranges: bool = True) -> None:
    """Answer as a good server does; with `upto`, break off after so many bytes of the file."""
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and knows_ranges else 0
    if start >= len(whole):
        handler.send_error(416)
        return
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
    handler.send_header("Content-Length", str(len(whole) - start))
    handler.end_headers()
    handler.wfile.write(whole[start:upto])


def say(content: bytes, status: int = 200):
    """A server that answers everything with this, and no length."""

    def answer(handler, whole):
        handler.send_response(status)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.0)
    monkeypatch.setattr(module, "BLOCK", 1 << 10)
    simulate(tmp_path / "site", "LaMP-4", 3, 0)
    site = Site(tmp_path / "site")
    yield site
    site.server.shutdown()
    site.server.server_close()


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def is_whole(folder, site) -> bool:
    files = [f"{name}.json" for name in ALL]
    return names(folder) == sorted([*files, "downloads.json"]) and all(
        (folder / name).read_bytes() == (site.folder / name).read_bytes() for name in files
    )


SITE = "https://ciir.cs.umass.edu/downloads/LaMP"


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
        download(tmp_path / "x", "LaMP-6")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("time_based", [True, False])
def test_all_files_but_the_withheld_test_outputs_arrive_and_are_listed(tmp_path, site, time_based):
    folder = download(tmp_path / "deep" / "LaMP_4", "LaMP-4", time_based, site.address)
    assert is_whole(folder, site) and load(folder, "LaMP-4").splits["test"][0]["output"] is None
    where = [address("LaMP-4", *name.split("_"), time_based, site.address) for name in ALL]
    assert [site.address + path for path, _ in site.asked] == where
    listed = json.loads((folder / "downloads.json").read_text())
    for name, source in zip(ALL, where, strict=True):
        content = (folder / f"{name}.json").read_bytes()
        facts = listed[f"{name}.json"]
        assert (facts["address"], facts["bytes"]) == (source, len(content))
        assert facts["sha256"] == hashlib.sha256(content).hexdigest()


def test_files_that_are_there_are_kept_and_not_asked_for(tmp_path, site):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "dev_outputs.json").write_text("mine")
    download(tmp_path / "x", "LaMP-4", site=site.address)
    assert (tmp_path / "x" / "dev_outputs.json").read_text() == "mine" and len(site.asked) == 4
    download(tmp_path / "x", "LaMP-4", site=site.address)
    assert len(site.asked) == 4, "a second call asks for nothing"


NOT_LAMP = {
    "a page for a wrong address": (HTML, "HTML page"),
    "a page behind white space": (b"\n  <html></html>", "HTML page"),
    "half a file": (b'[{"id": "1", "inp', "truncated"),
    "nothing": (b"", "truncated"),
    "other JSON": (b'{"error": "not found"}', "a list of questions"),
    "no profile": (b'[{"id": "1", "input": "x"}]', 'the field "profile"'),
    "another task": (
        b'[{"id": "1", "input": "Paraphrase the following tweet without any explanation before or after it: x", '
        b'"profile": []}]',
        "does not follow LaMP-4's template",
    ),
}


@pytest.mark.parametrize(("content", "what"), NOT_LAMP.values(), ids=NOT_LAMP)
def test_what_is_not_the_tasks_json_is_refused_by_its_address_and_not_left_behind(tmp_path, site, content, what):
    site.faults["dev_questions"] = say(content)
    with pytest.raises(DataError, match=what) as caught:
        download(tmp_path / "x", "LaMP-4", site=site.address)
    assert str(caught.value).startswith(f"{site.address}/time/LaMP_4/dev/dev_questions.json: ")
    assert names(tmp_path / "x") == ["downloads.json", "train_outputs.json", "train_questions.json"]
    site.faults.clear()
    assert is_whole(download(tmp_path / "x", "LaMP-4", site=site.address), site), "a second try goes on"


def test_the_old_news_task_is_not_taken_for_movie_tagging(tmp_path, site):
    old = {"id": "1", "input": "Which category does this article relate to", "profile": [{"category": "women"}]}
    site.faults["train_questions"] = say(json.dumps([old]).encode())
    with pytest.raises(DataError, match="old LaMP-2"):
        download(tmp_path / "x", "LaMP-2", site=site.address)


def test_outputs_must_name_the_task(tmp_path, site):
    site.faults["train_outputs"] = say(b'{"task": "LaMP_7", "golds": []}')
    with pytest.raises(DataError, match="outputs of LaMP-4, it says LaMP-7"):
        download(tmp_path / "x", "LaMP-4", site=site.address)


def test_a_connection_that_breaks_goes_on_where_it_was(tmp_path, site):
    size = len((site.folder / "train_questions.json").read_bytes())

    def breaks(handler, whole):
        asked = handler.headers.get("Range")
        serve(handler, whole, upto=size // 3 if not asked else 2 * size // 3 if str(size // 3) in asked else None)

    site.faults["train_questions"] = breaks
    assert is_whole(download(tmp_path / "x", "LaMP-4", site=site.address), site)
    ranges = [asked for path, asked in site.asked if path.endswith("train_questions.json")]
    assert ranges == [None, f"bytes={size // 3}-", f"bytes={2 * size // 3}-"]


def test_what_has_arrived_is_kept_for_the_next_call(tmp_path, site):
    def gives_little(handler, whole):  # the first connection brings some bytes, the others none
        serve(handler, whole, upto=100)

    site.faults["train_questions"] = gives_little
    with pytest.raises(DownloadError, match="broke 4 times, 100 bytes have arrived and are kept"):
        download(tmp_path / "x", "LaMP-4", site=site.address)
    assert names(tmp_path / "x") == [".train_questions.json.part"]
    site.faults.clear()
    assert is_whole(download(tmp_path / "x", "LaMP-4", site=site.address), site)
    assert site.asked[4][1] == "bytes=100-"


def test_a_server_that_cannot_begin_in_the_middle_starts_over(tmp_path, site):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / ".train_questions.json.part").write_bytes(b"[{")
    site.faults["train_questions"] = lambda handler, whole: serve(handler, whole, knows_ranges=False)
    assert is_whole(download(tmp_path / "x", "LaMP-4", site=site.address), site)


@pytest.mark.parametrize("stale", [b"[1, 2", b"x" * 100_000], ids=["shorter", "longer than the file"])
def test_a_part_of_another_file_is_thrown_away(tmp_path, site, stale):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / ".train_questions.json.part").write_bytes(stale)
    assert is_whole(download(tmp_path / "x", "LaMP-4", site=site.address), site)


def test_a_part_that_was_whole_already_takes_its_name(tmp_path, site):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / ".train_questions.json.part").write_bytes((site.folder / "train_questions.json").read_bytes())
    assert is_whole(download(tmp_path / "x", "LaMP-4", site=site.address), site)


@pytest.mark.parametrize("status", [404, 503])
def test_a_refusal_is_told_with_its_address(tmp_path, site, status):
    site.faults["dev_questions"] = say(b"no", status)
    with pytest.raises(DownloadError, match=rf"dev_questions.json: the server answers {status}"):
        download(tmp_path / "x", "LaMP-4", site=site.address)
    assert sum(path.endswith("dev_questions.json") for path, _ in site.asked) == (4 if status == 503 else 1)


def test_without_network_the_error_says_what_to_do(tmp_path):
    with pytest.raises(DownloadError, match=r"cannot be reached .* put them here: .*LaMP_4"):
        download(tmp_path / "LaMP_4", "LaMP-4", site="http://127.0.0.1:1")
    assert names(tmp_path / "LaMP_4") == []


def test_the_command_fetches_all_tasks_into_one_folder(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(module, "download", lambda folder, task, time_based: asked.append((folder, task, time_based)))
    main(["download", "all", "--split", "user", "--folder", str(tmp_path)])
    assert [task for _, task, _ in asked] == ["LaMP-1", "LaMP-2", "LaMP-3", "LaMP-4", "LaMP-5", "LaMP-7"]
    assert {folder.parent for folder, *_ in asked} == {tmp_path} and not any(time_based for *_, time_based in asked)
    monkeypatch.chdir(tmp_path)
    main(["download", "LaMP_2"])
    assert asked[-1] == (project_folder() / "data" / "time" / "LaMP_2", "LaMP-2", True), "where a profile looks for it"


def test_the_command_ends_with_the_message_alone(tmp_path, monkeypatch):
    def fails(*_):
        raise DownloadError("no network")

    monkeypatch.setattr(module, "download", fails)
    with pytest.raises(SystemExit, match="no network"):
        main(["download", "LaMP_2", "--folder", str(tmp_path)])
