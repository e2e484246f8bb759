"""Damaged and hostile files, five ways in: a right result or an error that names the file; nothing half-written."""

import csv
import functools
import hashlib
import io
import json
import random
import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from effort import cases
from mutations import TEXTS, damage, mutate_bytes

from pplug import config
from pplug.__main__ import main
from pplug.base.errors import DataError, InputError
from pplug.data.loading import load
from pplug.data.tasks import TASKS
from pplug.method.encoders import load_encoder
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM, build
from pplug.method.store import add, read
from pplug.offline.simulate import make_user, write_lamp
from pplug.sources.own_users import DatedText, read_table, write_users

pytestmark = pytest.mark.long
SECONDS = 20  # a case may take; all but training take well under one
TRAINING_SECONDS = 120


class Hang(BaseException):
    """No Exception, so that nothing takes it for an error of its own."""


@contextmanager
def case(number: int, *folders, seconds: float = SECONDS):
    """One case: it ends in time, leaves no temporary file behind, and is named where it fails."""

    def hang(*_):
        raise Hang(f"case {number} is not done after {seconds} s")

    signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield random.Random(f"case {number}")
        left = [path for folder in folders for path in folder.rglob(".*") if path.suffix == ".tmp"]
        assert not left, left
    except BaseException as error:
        error.add_note(f"case {number}")
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def damage_one(rng: random.Random, folder, names=None):
    """Damage one file of a folder, or now and then take it away or put a folder in its place; returns its path."""
    path = rng.choice(sorted(p for p in folder.iterdir() if names is None or p.name in names))
    if rng.random() < 0.05:
        path.unlink()
        if rng.random() < 0.5:
            path.mkdir()
        return path
    path.write_bytes(damage(rng, path.read_bytes(), path.suffix == ".json"))
    return path


def copied(source, target):
    shutil.rmtree(target, ignore_errors=True)
    return shutil.copytree(source, target)


# LaMP's files


@pytest.fixture(scope="module")
def worlds(tmp_path_factory, realdata_or_none):
    """Task → a folder of a few small LaMP files; with real ones among them where there are any."""
    root = tmp_path_factory.mktemp("worlds")
    folders = [(t, write_lamp(root / t, t, [make_user(t, f"u{i}", 0, 3) for i in range(2)], 0)) for t in TASKS]
    for task, real in (("LaMP-1", "official/LaMP_1"), ("LaMP-4", "LaMP_4")) if realdata_or_none else ():
        questions = json.loads((realdata_or_none / real / "dev_questions.json").read_text(encoding="utf-8"))[:2]
        cut = [question | {"profile": question["profile"][:3]} for question in questions]
        (root / f"real-{task}").mkdir()
        (root / f"real-{task}" / "dev_questions.json").write_text(json.dumps(cut))
        folders.append((task, root / f"real-{task}"))
    return folders


@pytest.fixture(scope="module")
def realdata_or_none(request):
    try:
        return request.getfixturevalue("realdata")
    except pytest.skip.Exception:
        return None


def as_text(value) -> str:
    return "" if value is None else str(value)


def assert_is_what_the_files_say(data, folder):
    """By another way: whatever was loaded stands so in the files."""
    for split, examples in data.splits.items():
        questions = json.loads((folder / f"{split}_questions.json").read_bytes().decode("utf-8-sig"))
        path = folder / f"{split}_outputs.json"
        golds = json.loads(path.read_bytes().decode("utf-8-sig"))["golds"] if path.exists() else []
        golds = {str(gold["id"]): str(gold["output"]) for gold in golds}
        assert len(questions) == len(examples)
        for question, example in zip(questions, examples, strict=True):
            assert example["id"] == str(question["id"]) and example["input"] == question["input"]
            assert example["user_id"] == str(question.get("user_id", question["id"]))
            assert example["output"] == golds.get(example["id"])
            said = [[as_text(item[field]) for field in data.task.fields] for item in question["profile"]]
            assert sorted(said) == sorted([data.items[row][f] for f in data.task.fields] for row in example["profile"])


def test_the_loader_loads_what_the_files_say_or_names_the_file(worlds, tmp_path):
    outcomes = set()
    for number in range(cases(usual=70, nightly=6000)):
        with case(number, tmp_path) as rng:
            task, source = rng.choice(worlds)
            folder = copied(source, tmp_path / "data")
            damage_one(rng, folder)
            try:
                data = load(folder, task, tmp_path / "cache")
            except (DataError, IsADirectoryError) as error:
                assert str(folder) in str(error) and len(str(error)) < 2000
                outcomes.add("refused")
            else:
                assert_is_what_the_files_say(data, folder)
                outcomes.add("loaded")
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert outcomes == {"refused", "loaded"}


# Tables of one's own users


def table(form: str) -> bytes:
    rows = [
        {"user": user, "time": f"2024-01-{day:02}", "input": f'"{user}", on matter {day}\nö', "output": f"title {day}"}
        for user in ("ann", "bob")
        for day in range(1, 8)
    ]
    if form == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def rows_of(path) -> list[DatedText]:
    """By another way: the rows of a table that can be read."""
    text = path.read_bytes().decode("utf-8-sig")
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    else:
        rows = [json.loads(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    return [DatedText(*(str(row[column]).strip() for column in ("user", "time", "input", "output"))) for row in rows]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_table_is_read_as_it_is_or_its_line_is_named(form, tmp_path):
    path, outcomes = tmp_path / f"t.{form}", set()
    for number in range(cases(usual=250, nightly=6000)):
        with case(number, tmp_path) as rng:
            lines = table(form).splitlines(keepends=True)
            at = rng.randrange(len(lines))
            lines[at] = damage(rng, lines[at], form == "jsonl") + b"\n" * rng.randint(0, 1)
            path.write_bytes(mutate_bytes(rng, b"".join(lines)) if rng.random() < 0.3 else b"".join(lines))
            try:
                texts = read_table(path)
            except DataError as error:
                assert str(error).startswith(f"{path}: line ") and len(str(error)) < 1000
                outcomes.add("refused")
                continue
            assert texts == rows_of(path)
            if number % 10:
                continue
            try:
                told = write_users(tmp_path / "own", "LaMP-4", texts)
            except DataError as error:
                assert "no user has 6 texts" in str(error)
                continue
            data = load(tmp_path / "own", "LaMP-4", tmp_path / "cache")
            assert set(data.splits["test"]["user_id"]) <= {text.user for text in texts}
            assert [len(split) for split in data.splits.values()] == [told["users"]] * 3
            outcomes.add("written")
    assert outcomes == {"refused", "written"}


# The store of vectors


def test_a_damaged_store_gives_right_vectors_or_none(tmp_path):
    keys = np.sort(np.array([hashlib.sha256(bytes([n])).digest()[:16] for n in range(40)], dtype="S16"))
    truth = tiny.vectors(40)
    store, lost = tmp_path / "store", 0
    for number in range(cases(usual=120, nightly=6000)):
        with case(number, tmp_path) as rng:
            shutil.rmtree(store, ignore_errors=True)
            for start in range(0, 40, 8):
                add(store, keys[start : start + 8], truth[start : start + 8])
            path = rng.choice(sorted(store.iterdir()))
            content = mutate_bytes(rng, path.read_bytes())
            own_name = hashlib.sha256(content).hexdigest()[:32]  # as one would call it who knows how it is checked
            header = path.read_bytes()[:128]
            is_forged = rng.random() < 0.5 and content[:128] != header
            if is_forged:
                path.unlink()
                path = store / f"{own_name}.npy"
            path.write_bytes(content)
            vectors, found = read(store, keys, tiny.WIDTH)
            if not is_forged:
                assert (vectors[found] == truth[found]).all() and found.sum() >= 32
            lost += not found.all()
            add(store, keys[~found], truth[~found])
            vectors, found = read(store, keys, tiny.WIDTH)
            assert found.all() and (is_forged or (vectors == truth).all())
    assert lost


# A saved plug


@pytest.fixture(scope="module")
def plug(tmp_path_factory):
    """A saved plug in front of a small LLM."""
    folder = tmp_path_factory.mktemp("plug")
    llm = str(tiny.save_llm("t5", folder / "llm"))
    torch.manual_seed(0)
    facts = {"llm": llm, "encoder": "made-up", "task": "LaMP-4", "data_hash": "0" * 64}
    model = build(*load_llm(llm), tiny.MadeUpEncoder(), None, facts, soft_tokens=2)
    model.save_pretrained(folder / "plug")
    return folder / "plug", model


def test_a_damaged_plug_is_loaded_as_it_is_or_named(plug, tmp_path, monkeypatch):
    source, _ = plug
    monkeypatch.setattr("pplug.method.saved.load_encoder", known_encoder)
    outcomes = set()
    for number in range(cases(usual=100, nightly=2500)):
        with case(number, tmp_path) as rng:
            folder = copied(source, tmp_path / "plug")
            damage_one(rng, folder)
            try:
                loaded = PersonalizedLM.from_pretrained(folder)
            except (DataError, OSError) as error:
                assert str(folder) in str(error) and len(str(error)) < 3000
                outcomes.add("refused")
                continue
            said = tiny.read_saved(folder)[0]["plug"]
            assert all(getattr(loaded.plug.config, name) == value for name, value in said.items())
            assert all(value.isfinite().all() for value in loaded.state_dict().values())
            assert loaded.generate_batch(batch_of(loaded), max_new_tokens=2)
            outcomes.add("loaded")
    assert outcomes == {"refused", "loaded"}


def known_encoder(name: str):
    if name != "made-up":
        raise InputError(f"no encoder is called {name[:50]!r}")
    return tiny.MadeUpEncoder(name)


def batch_of(model) -> dict:
    from pplug.method.batches import collate

    return collate(model, tiny.examples(model, 2), for_generation=True)


# The command line


def run(arguments: list[str]) -> str | None:
    """Run a command; the message it ends with, None where it succeeds. Any other exception is a failure."""
    try:
        main(arguments)
    except SystemExit as stop:
        assert stop.code == 2 or (isinstance(stop.code, str) and stop.code.strip()), stop.code
        return str(stop.code)
    return None


@pytest.fixture(scope="module")
def command_world(tmp_path_factory):
    """A folder of LaMP files, a table, a plug with its LLM: what commands are given."""
    root = tmp_path_factory.mktemp("commands")
    write_lamp(root / "data", "LaMP-4", [make_user("LaMP-4", f"u{i}", 0, 3) for i in range(2)], 0)
    (root / "t.csv").write_bytes(table("csv"))
    (root / "t.jsonl").write_bytes(table("jsonl"))
    llm = str(tiny.save_llm("t5", root / "llm"))
    facts = {"llm": llm, "encoder": "minilm", "task": "LaMP-4"}
    build(*load_llm(llm), load_encoder(), None, facts).save_pretrained(root / "plug")
    return root


ODD = [text for text in TEXTS if "\0" not in text and "\ud800" not in text]  # what a shell can hand over
COMMANDS = (
    ("simulate", "LaMP-4", "{new}", "--users", "2", "--seed", "1"),
    ("encode", "LaMP-4", "{data}", "--encoder", "minilm"),
    ("forget", "LaMP-4", "{data}", "u1", "--encoder", "minilm"),
    ("from-table", "{table}", "--task", "LaMP-4", "--folder", "{new}"),
    ("from-git", "{data}", "--folder", "{new}"),
    ("predict", "{plug}", "{data}", "--split", "dev", "--beams", "2", "--out", "{new}/p.json"),
    ("plan", "paper"),
)


def test_a_command_succeeds_or_ends_with_a_message(command_world, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PPLUG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for module in ("encoders", "saved"):  # reading its weights takes longer than most commands
        monkeypatch.setattr(f"pplug.method.{module}.load_encoder", functools.cache(load_encoder))
    outcomes = set()
    for number in range(cases(usual=24, nightly=600)):
        with case(number, tmp_path) as rng:
            world = copied(command_world, tmp_path / "w")
            places = {"new": tmp_path / "w" / "new", "data": world / "data", "plug": world / "plug"}
            places["table"] = world / rng.choice(("t.csv", "t.jsonl"))
            arguments = [part.format(**places) for part in COMMANDS[number % len(COMMANDS)]]
            if number < len(COMMANDS):  # each as it should be, first
                assert (run(arguments) is None) == (arguments[0] != "from-git"), "the folder is no git repository"
                continue
            if rng.random() < 0.6:  # from the second on: the first is the command
                arguments[rng.randrange(1, len(arguments))] = rng.choice(ODD)
            if rng.random() < 0.6:
                damage_one(rng, world / rng.choice(("data", "plug")))
            if rng.random() < 0.3:
                damage_one(rng, world, [places["table"].name])
            outcomes.add(run(arguments) is None)
            assert "Traceback" not in capfd.readouterr().err
    assert outcomes == {True, False}


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_training_on_a_damaged_folder_succeeds_or_ends_with_a_message(command_world, tmp_path, monkeypatch, command):
    small = replace(config.SMOKE, steps=1, batch_size=2, micro_batch=2, bootstrap=1000, n_users=None)
    small = replace(small, data=str(tmp_path / "w"), llm=str(command_world / "llm"))
    monkeypatch.setattr(config, "get_profile", lambda: small)
    monkeypatch.setenv("PPLUG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pplug.study.records.FOLDER", tmp_path / "results")
    for number in range(cases(usual=2, nightly=30)):
        with case(number, tmp_path, seconds=TRAINING_SECONDS) as rng:
            folder = copied(command_world / "data", tmp_path / "w" / "LaMP_4")
            if number or command == "evaluate":
                damage_one(rng, folder)
            message = run([command, "LaMP-4", *([str(tmp_path / "plug")] if command == "train" else [])])
            assert number or command == "evaluate" or message is None


# That the check can fail


def test_a_case_that_hangs_or_leaves_a_file_is_found(tmp_path):
    with pytest.raises(Hang), case(1, tmp_path, seconds=0.05):
        time.sleep(5)
    with pytest.raises(AssertionError), case(2, tmp_path):
        (tmp_path / ".x.1.tmp").touch()


def test_a_loader_that_mixes_up_users_is_found(worlds, tmp_path):
    folder = copied(worlds[3][1], tmp_path / "data")
    data = load(folder, "LaMP-4", tmp_path / "cache")
    assert_is_what_the_files_say(data, folder)
    questions = json.loads((folder / "dev_questions.json").read_text())
    questions[0]["user_id"], questions[1]["user_id"] = questions[1]["user_id"], questions[0]["user_id"]
    (folder / "dev_questions.json").write_text(json.dumps(questions))
    with pytest.raises(AssertionError):
        assert_is_what_the_files_say(data, folder)


def test_an_error_of_the_program_is_not_hidden(monkeypatch, tmp_path):
    def faulty(chosen):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setitem(main.__globals__["COMMANDS"], "plan", faulty)
    with pytest.raises(ValueError, match="broadcast"):
        main(["plan", "paper"])
    assert issubclass(DataError, InputError)
