"""To try by hand: three answers that differ in the embedding alone; by calls, by the widget, in JupyterLab."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import replies
from browser import browsing, wait

from pplug.base import InputError
from pplug.data.tasks import Task
from pplug.insight import try_it
from pplug.insight.try_it import Person, answers_page, ask

ROOT = Path(__file__).resolve().parent.parent
LESSON = "00_start_here.ipynb"


@pytest.fixture
def person(t5, monkeypatch):
    replies.patch_encoder(monkeypatch)
    return Person("Ann", replies.make_model(t5), replies.items(*"abcdefgh"), replies.items(*"uvwxyz"), "hello")


def test_the_answers_are_those_of_the_public_calls(person):
    tried, model = ask(person, "one\ntwo", newest=3), person.model
    hers, theirs = (model.user(history[-3:]) for history in (person.history, person.other))
    asked = "Reply to: one two"
    assert [tried.answers[whose] for whose in try_it.WHOSE[1:]] == [
        model.generate(asked, user) for user in (hers, theirs)
    ]
    assert tried.items == [f"{word}? → {word}!" for word in "fgh"]
    assert tried.weights == pytest.approx(model.weights(asked, hers).tolist()) and sum(tried.weights) == pytest.approx(
        1
    )


def test_a_whole_input_is_taken_as_it_is(person):
    assert ask(person, "Reply to: hello", 4) == ask(person, "hello", 4)


def test_with_no_items_hers_and_someone_elses_are_the_same(person):
    tried = ask(person, "hello", 0)
    assert tried.answers["hers"] == tried.answers["someone else's"] and tried.items == tried.weights == []
    assert "someone unknown" in answers_page(tried)


@pytest.mark.parametrize("message", ["", " \n"])
def test_without_a_message_it_says_so(person, message):
    with pytest.raises(InputError, match="there is no message"):
        ask(person, message, 3)


def test_of_several_slots_a_whole_input_is_asked_for(t5, monkeypatch):
    replies.patch_encoder(monkeypatch)
    task = Task(name="pairs", template="From {a} to {b}", fields=("message", "reply"))
    person = Person("Ann", replies.make_model(t5, task), replies.items("a"), replies.items("b"), "From x to y")
    assert len(ask(person, "From x to y", 1).answers) == 3
    with pytest.raises(InputError, match="does not follow"):
        ask(person, "x", 1)


def test_what_was_typed_or_answered_is_shown_as_it_is(person):
    tried = try_it.Tried({"hers": "<b>bold</b>"}, ["<i>item</i>"], [1.0])
    assert "&lt;b&gt;bold" in answers_page(tried) and "&lt;i&gt;item" in answers_page(tried)


def test_the_widget_asks_for_what_is_chosen(person):
    other = Person("Bob", person.model, replies.items("a"), replies.items("b"), "and you?")
    box = try_it.try_it([person, other])
    who, newest, message, button, shown = box.children
    assert (who.value, newest.max, newest.value, message.value, shown.value) == ("Ann", 8, 8, "hello", "")
    newest.value = 2
    button.click()
    assert shown.value == answers_page(ask(person, "hello", 2)) and not button.disabled
    who.value = "Bob"
    assert (newest.max, newest.value, message.value, shown.value) == (1, 1, "and you?", "")
    message.value = " "
    button.click()
    assert "there is no message" in shown.value and not button.disabled


def test_the_next_one_is_someone_else(person):
    people = try_it.with_others(person.model, {name: replies.items(name) for name in "abc"}, "hello")
    assert [one.name for one in people] == list("abc") and people[2].message == "hello"
    assert [one.other for one in people] == [one.history for one in people[1:] + people[:1]]


def free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


def end(server: subprocess.Popen) -> None:
    """End a server and its kernels."""
    family = psutil.Process(server.pid).children(recursive=True)
    for process in (server, *family):
        with suppress(psutil.Error):
            process.kill()
    server.wait(20)


@pytest.mark.long
def test_lesson_00_is_tried_in_jupyterlab(tmp_path):
    """As a reader does it: open the lesson, run its cells, type a message, press the button, read three answers."""
    lesson = json.loads((ROOT / "notebooks" / LESSON).read_text(encoding="utf-8"))
    last = next(place for place, cell in enumerate(lesson["cells"]) if "try_it(" in "".join(cell["source"]))
    lesson["cells"] = lesson["cells"][: last + 1]
    for cell in lesson["cells"]:
        cell |= {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
    folder = tmp_path / "lessons"
    folder.mkdir()
    (folder / LESSON).write_text(json.dumps(lesson), encoding="utf-8")
    tracker = tmp_path / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text('{"windowingMode": "none"}')  # every cell is on the page, seen or not
    port, token = free_port(), "a-test"
    options = {"ServerApp.port": port, "ServerApp.port_retries": 0, "ServerApp.root_dir": folder}
    options |= {"IdentityProvider.token": token, "LabApp.expose_app_in_browser": True}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    folders = {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    folders |= {"JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"), "PYTHONPATH": str(ROOT)}
    with open(tmp_path / "log", "w") as log, browsing(1280, 1000) as driver:
        server = subprocess.Popen(command, env=os.environ | folders, stdout=log, stderr=log, cwd=tmp_path)
        try:
            for _ in range(150):
                with socket.socket() as some:
                    if some.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            driver.get(f"http://127.0.0.1:{port}/lab/tree/{LESSON}?token={token}")
            loaded = "return window.jupyterapp?.shell?.currentWidget?.content?.widgets?.length === arguments[0]"
            wait(driver, loaded, last + 1, seconds=60)
            wait(
                driver,
                "return jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
                seconds=60,
            )
            driver.execute_script("jupyterapp.commands.execute('notebook:run-all-cells')")
            button = "return document.querySelector('.jupyter-widgets button.jupyter-button')"
            pressed = wait(driver, button, seconds=300)
            typed = driver.find_element("css selector", ".jupyter-widgets textarea")
            typed.clear()
            typed.send_keys("A bridge was closed after engineers found cracks.")
            pressed.click()
            answered = """
                const heads = [...document.querySelectorAll(".widget-html-content b")]
                const whose = heads.map(head => head.textContent)
                return whose.includes("hers") && heads.map(head => head.parentElement.innerText)
            """
            told = wait(driver, answered, seconds=120)
            driver.save_screenshot(str(tmp_path / "page.png"))
        finally:
            end(server)
    assert [text.split("\n")[0] for text in told] == [*try_it.WHOSE, told[3].split("\n")[0]]
    assert all(len(text.split("\n")) > 1 for text in told[:3]) and "heaviest of" in told[3]
