"""The hard cases by name: each is a clear error that names file and place, or a right result."""

import json
import logging
import shutil

import numpy as np
import pytest
import tiny
import torch
from mutations import DEEP, MARKS, MB_10

from pplug import config
from pplug.__main__ import main
from pplug.base.errors import DataError, InputError
from pplug.base.reading import read_json
from pplug.data.loading import load
from pplug.data.tasks import TASKS, build_input, parse_input
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM, build
from pplug.method.plug_config import PlugConfig
from pplug.method.predictions import write_predictions
from pplug.method.store import add, read
from pplug.offline.simulate import simulate
from pplug.sources.own_users import FEWEST_TEXTS, DatedText, read_table, write_users

HOSTILE_NAMES = ("../../x", "/etc/x", "a/b", "CON", "..", "~", "x" * 300, "-rf", "a b\tc", "名前", "{text}", "%s")
ASKED = "Generate a headline for the following article: rain"


def put(folder, questions, golds=None):
    """Write train questions, JSON text or value, and outputs if there are any."""
    folder.mkdir(exist_ok=True)
    text = questions if isinstance(questions, str) else json.dumps(questions)
    (folder / "train_questions.json").write_text(text, encoding="utf-8")
    if golds is not None:
        (folder / "train_outputs.json").write_text(json.dumps({"task": "LaMP_4", "golds": golds}))
    return folder


def question(**fields) -> dict:
    items = [{"id": "7", "text": "sun", "title": "Sun", "date": "2020-01-02"}]
    return {"id": "1", "input": ASKED, "profile": items} | fields


# What is loaded


@pytest.mark.parametrize(
    "name", [*HOSTILE_NAMES, MB_10, "\0", "\x1b[2J", "1\n2", "\ufeffid"], ids=lambda name: ascii(name)[:20]
)
def test_ids_and_users_of_any_name_are_kept_and_name_no_file(tmp_path, name):
    golds = [{"id": name, "output": name}]
    folder = put(tmp_path / "in", [question(id=name, user_id=name)], golds)
    before = set(tmp_path.rglob("*"))
    data = load(folder, "LaMP-4", tmp_path / "cache")
    example = data.splits["train"][0]
    assert (example["id"], example["user_id"], example["output"]) == (name, name, name)
    new = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "cache") and name not in path.parts for path in new)


def test_a_text_of_ten_megabytes_is_loaded_whole(tmp_path):
    items = [{"text": MB_10, "title": MB_10}]
    data = load(put(tmp_path / "in", [question(input=ASKED + MB_10, profile=items)]), "LaMP-4", tmp_path / "cache")
    assert data.splits["train"][0]["input"] == ASKED + MB_10 and data.items == items


@pytest.mark.parametrize(
    ("questions", "told"),
    [
        (DEEP, "expected JSON that is nested less deeply"),
        ("[" * 100_000, "expected JSON that is nested less deeply"),
        ('[{"id": ' + "9" * 10_000 + "}]", "expected numbers of fewer digits"),
        ('[{"id": NaN}]', 'expected text or a number as "id", found float nan'),
        ([question(id=None)], 'expected text or a number as "id", found NoneType None'),
        ([question(id=[1])], r'expected text or a number as "id", found list \[1\]'),
        ([question(user_id=None)], 'example 1: expected text or a number as "user_id"'),
        ([question(user_id=True)], 'example 1: expected text or a number as "user_id"'),
        ([question(user_id=float("inf"))], 'example 1: expected text or a number as "user_id"'),
        ([question(date={})], 'example 1: expected text or a number as "date"'),
        ([question(date="9" * 10_000)], "example 1: expected a date in ISO 8601"),
        ([question(date=1e30)], r"example 1: expected a date .*, found '1e\+30'"),
        ([question(profile=[{"text": ["a"], "title": ""}])], 'example 1: .* in the field "text" of profile item 0'),
        ([question(profile=[{"text": "a", "title": float("nan")}])], 'in the field "title" of profile item 0'),
        ([question(profile=[{"text": "a", "title": "b", "date": "-5"}])], "example 1: expected a date"),
        ([question(input=MB_10)], "example 1: the input does not follow LaMP-4's template"),
        ([question(id=MB_10, input="")], "example 'xxxx"),
        ([question(id="\x1b[2J", input="")], r"example '\\x1b\[2J'"),
        ([question(input=ASKED + "\ud800")], "expected whole characters, found half of a pair behind .*article: rain"),
        ([question(more="\udc00")], "expected whole characters"),
        ([], None),
        ([question(profile=[])], None),
        ([question(input=ASKED + "\\ud800 😀 \0")], None),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_values_no_one_expects(tmp_path, questions, told):
    folder = put(tmp_path / "in", questions)
    if told is None:
        assert len(load(folder, "LaMP-4", tmp_path / "cache").splits["train"]) == len(questions)
        return
    with pytest.raises(DataError, match=told) as caught:
        load(folder, "LaMP-4", tmp_path / "cache")
    message = str(caught.value)
    assert message.startswith(f"{folder / 'train_questions.json'}: ") and len(message) < 600 and "\x1b" not in message
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("output", [None, True, ["a"], {}, float("nan")])
def test_an_output_is_text_or_a_number(tmp_path, output):
    folder = put(tmp_path / "in", [question()], [{"id": "1", "output": output}])
    with pytest.raises(DataError, match=r"train_outputs.json: example 1: expected text or a number as output"):
        load(folder, "LaMP-4", tmp_path / "cache")


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.hex())
def test_byte_order_marks(tmp_path, mark):
    """UTF-8's is read over; what is not UTF-8 is told."""
    code = {b"\xef": "utf-8", b"\xff\xfe\0": "utf-32-le", b"\xff": "utf-16-le", b"\xfe": "utf-16-be"}
    code = next((code for start, code in code.items() if mark.startswith(start)), "utf-32-be")
    path = tmp_path / "in" / "train_questions.json"
    put(tmp_path / "in", "")
    path.write_bytes(mark + json.dumps([question()]).encode(code))
    if code == "utf-8":
        assert load(tmp_path / "in", "LaMP-4", tmp_path / "cache").splits["train"]["id"] == ["1"]
    else:
        with pytest.raises(
            DataError, match=r"train_questions.json: line 1: expected a file in UTF-8, found the byte 0x"
        ):
            load(tmp_path / "in", "LaMP-4", tmp_path / "cache")


def test_what_is_not_utf_8_is_told_with_its_line(tmp_path):
    """José and Josè in Latin-1 would else be one user."""
    (tmp_path / "t.csv").write_bytes("user,time,input,output\nJosé,1,a,b\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"t.csv: line 2: expected a file in UTF-8, found the byte 0xe9"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["train_questions.json", "train_outputs.json"])
def test_a_folder_where_a_file_should_be_is_named(tmp_path, name, capsys):
    folder = put(tmp_path / "in", [question()])
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    with pytest.raises(SystemExit, match=name):
        main(["encode", "LaMP-4", str(folder)])


@pytest.mark.parametrize(
    "factors",
    ["[]", "{}", '{"users": []}', '{"users": {}}', '{"users": {"1": 5}}', '{"users": {"1": {"values": {}}}}', ""],
)
def test_broken_personas_are_told(tmp_path, factors):
    folder = put(tmp_path / "in", [question()])
    (folder / "factors.json").write_text(factors)
    with pytest.raises(DataError, match=r"factors.json: expected|factors.json: user 1: expected"):
        load(folder, "LaMP-4", tmp_path / "cache")


@pytest.mark.parametrize("task", TASKS)
def test_an_input_made_of_the_templates_parts_is_taken_apart_at_once(task):
    """A regular expression tries all ways to split it: hours for a megabyte."""
    spec = TASKS[task]
    parts = build_input(spec, **dict.fromkeys(spec.slots, "\n")).split("\n")
    text = parts[0] + "".join(parts[1:-1]) * (1_000_000 // max(1, len("".join(parts[1:-1])))) + parts[-1]
    if len(spec.slots) > 1:
        assert build_input(spec, **parse_input(spec, text)) == text
    with pytest.raises(ValueError, match=r"does not follow"):
        parse_input(TASKS["LaMP-1"], text + '" [2]: ' * 100_000)


# A served user


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([{"text": "a"}], 'history: expected the field "title" in profile item 0'),
        ([{"text": "a", "title": 1}, "b"], "history: expected an object as profile item 1"),
        ([{"text": "a", "title": True}], 'history: expected text or a number in the field "title" of profile item 0'),
        ([{"text": ["a"], "title": 1}], 'history: expected text or a number in the field "text" of profile item 0'),
        ("text", "history: expected a list of items, found text"),
    ],
)
def test_a_served_users_items_are_refused_as_a_files_are(model, monkeypatch, items, told):
    """They used to be a bare KeyError, or to be served with what was there."""
    encoded = made_up_vectors(monkeypatch)
    model.facts = {"task": "LaMP-4"}
    with pytest.raises(InputError, match=told):
        model.generate(ASKED, model.user(items), max_new_tokens=2)
    assert not encoded


@pytest.mark.fault(12)
def test_null_is_no_text_for_a_served_user_either(model, monkeypatch):
    encoded = made_up_vectors(monkeypatch)
    model.facts = {"task": "LaMP-4"}
    model.generate(ASKED, model.user([{"text": "sun", "title": None, "id": 3}]), max_new_tokens=2)
    assert "sun " in encoded and not any("None" in text for text in encoded)


def made_up_vectors(monkeypatch) -> list[str]:
    """Let no encoder be needed; returns the texts that would be encoded."""
    encoded = []

    def vectors(encoder, texts, *_, **__):
        encoded.extend(texts)
        return tiny.vectors(len(texts))

    for place in ("user", "answering"):
        monkeypatch.setattr(f"pplug.method.{place}.encode_texts", vectors)
    return encoded


# One's own users


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", 'user,time,input,output\na,1,"b,c\nd,2,e,f\n', "line 3: expected rows of a CSV file: unexpected end"),
        ("t.csv", "user,user,time,input,output\na,a,1,b,c\n", "line 1: .* 'user' is there twice"),
        ("t.csv", f"user,time,input,output\na,1,{MB_10 * 2},c\n", "line 2: .* field larger than field limit"),
        ("t.csv", f"{MB_10 * 2}\n", "line 1: .* field larger than field limit"),
        ("t.csv", "user,time,input,output\na,1.7e9,b,c\n", r"line 2: expected a date .* found '1.7e9'"),
        ("t.csv", f"user,time,input,output\na,{'9' * 10_000},b,c\n", "line 2: expected a date"),
        ("t.jsonl", '{"user": NaN, "time": 1, "input": "a", "output": "b"}\n', "line 1: .* column 'user'"),
        ("t.jsonl", '{"user": true, "time": 1, "input": "a", "output": "b"}\n', "line 1: .* column 'user'"),
        ("t.jsonl", '\n{"user": "\\ud800", "time": 1, "input": "a", "output": "b"}\n', "line 2: expected whole"),
        ("t.jsonl", '{"user": ' + "9" * 10_000 + "}\n", "line 1: expected numbers of fewer digits"),
        ("t.jsonl", "\n\n" + DEEP, "line 3: expected a JSON object that is nested less deeply"),
        (
            "t.jsonl",
            '{"user": 1, "time": 1700000000000000000000.0, "input": 1, "output": 1}',
            "line 1: expected a date",
        ),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_tables_no_one_expects(tmp_path, name, content, told):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=told) as caught:
        read_table(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name)) and len(str(caught.value)) < 400


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_own_users_of_any_name_stay_in_the_folder(tmp_path, name):
    texts = [DatedText(name, str(day), f"on {name}", f"title {day}") for day in range(FEWEST_TEXTS)]
    write_users(tmp_path / "a" / "own", "LaMP-4", texts)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        f"{split}_{kind}.json" for split in ("train", "dev", "test") for kind in ("questions", "outputs")
    }
    data = load(tmp_path / "a" / "own", "LaMP-4", tmp_path / "cache")
    assert data.splits["test"]["user_id"] == [name]


def test_a_commit_cannot_speak_for_another_author(tmp_path):
    import subprocess

    def git(*arguments):
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=Eve", "-c", "user.email=e@x.org", *arguments], check=True
        )

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "subject", "-m", "body\x1eAnn\x1f5\x1fher subject\x1fher body")
    from pplug.sources.own_users import read_git

    assert [text.user for text in read_git(tmp_path)] == ["Eve"]


# The store


def test_a_forged_shard_is_not_read(tmp_path, caplog):
    import hashlib
    import io

    keys, truth = np.array([b"a" * 16, b"b" * 16], dtype="S16"), tiny.vectors(2)
    for wrong in (
        np.array([{"a": 1}], dtype=object),
        np.zeros((3, 4)),
        np.zeros(3, dtype=[("key", "S16"), ("vector", "S4", (tiny.WIDTH,))]),
        np.zeros(3, dtype=[("key", "S16"), ("vector", "<f2", (5,))]),
        b"",
        b"PK\3\4",
        b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16,
        b"\x93NUMPY\x01\x00\xff\xff" + b"[" * 65535,
        MB_10.encode(),
    ):
        buffer = io.BytesIO()
        np.save(buffer, wrong) if isinstance(wrong, np.ndarray) else buffer.write(wrong)
        name = hashlib.sha256(buffer.getvalue()).hexdigest()[:32]
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        add(tmp_path / "store", keys, truth)
        (tmp_path / "store" / f"{name}.npy").write_bytes(buffer.getvalue())
        with caplog.at_level(logging.INFO):
            vectors, found = read(tmp_path / "store", keys, tiny.WIDTH)
        assert found.all() and (vectors == truth).all()


# A saved plug


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    facts = {"llm": str(tiny.save_llm("t5", folder / "llm")), "encoder": "made-up", "task": "LaMP-4"}
    build(*load_llm(facts["llm"]), tiny.MadeUpEncoder(), None, facts).save_pretrained(folder / "plug")
    return folder / "plug"


@pytest.fixture
def plug(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("pplug.method.saved.load_encoder", lambda name: tiny.MadeUpEncoder(name))
    return shutil.copytree(saved, tmp_path / "plug")


FIELDS = [
    ({"pooling": "nope"}, "unknown pooling 'nope'"),
    ({"pooling": ["mean"]}, "pooling: expected text"),
    ({"llm_width": 1e30}, "llm_width: expected a whole number, at least 1"),
    ({"llm_width": 10**30}, "expected a plug that fits into memory|expected the weights|expected float32"),
    ({"llm_width": 10**6}, "expected float32"),
    ({"soft_tokens": 10**9}, "expected float32"),
    ({"soft_tokens": -1}, "soft_tokens: expected a whole number, at least 1, found -1"),
    ({"soft_tokens": True}, "soft_tokens: expected a whole number"),
    ({"soft_tokens": None}, "soft_tokens: expected a whole number"),
    ({"top_k": -1}, "top_k: expected a whole number, at least 0"),
    ({"embedding_norm": float("nan")}, "embedding_norm: expected a number above 0"),
    ({"embedding_norm": float("inf")}, "embedding_norm: expected a number above 0"),
    ({"embedding_norm": "1"}, "embedding_norm: expected a number above 0"),
    ({"instruction_divisor": 0}, "instruction_divisor: expected a number above 0"),
    ({"user": "yes"}, "user: expected true or false"),
    ({"user": False, "instruction": False}, "a plug needs a user embedding"),
    ({"nonsense": 1}, "nonsense is none of a plug's"),
    ({"\x1b[2J": MB_10}, "is none of a plug's"),
]


@pytest.mark.parametrize(("change", "told"), FIELDS, ids=lambda value: ascii(value)[:40])
def test_a_plugs_wrong_field_is_named(plug, change, told):
    facts, weights = tiny.read_saved(plug)
    facts["plug"] |= change
    tiny.write_saved(plug, facts, weights)
    with pytest.raises(DataError, match=told) as caught:
        PersonalizedLM.from_pretrained(plug)
    assert str(plug / "plug") in str(caught.value) and len(str(caught.value)) < 900


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "expected JSON"),
        ("[]", "expected an object with the plug's config"),
        ('{"plug": 5}', "expected an object with the plug's config"),
        (DEEP, "nested less deeply"),
        ({"llm": None}, 'expected a name as "llm"'),
        ({"llm": "no/such-llm"}, "plug.safetensors: llm 'no/such-llm': cannot be loaded"),
        ({"llm": "../../x"}, "plug.safetensors: llm '../../x': cannot be loaded"),
        ({"llm": "\0"}, "plug.safetensors: llm .*: expected a name or a folder"),
        ({"llm": "/etc"}, "plug.safetensors: llm '/etc': cannot be loaded"),
        ({"llm": MB_10}, "plug.safetensors: llm 'xxx.*: cannot be loaded"),
        ({"encoder": 5}, 'expected a name as "encoder"'),
        ({"task": "../x"}, "unknown task '../x': expected one of LaMP-1"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_broken_facts_of_a_plug_are_told(plug, content, told):
    facts, weights = tiny.read_saved(plug)
    tiny.write_saved(plug, facts | content if isinstance(content, dict) else content, weights)
    with pytest.raises(DataError, match=told) as caught:
        PersonalizedLM.from_pretrained(plug)
    assert str(caught.value).startswith(str(plug / "plug.safetensors")) and len(str(caught.value)) < 900


def test_an_encoder_that_is_not_there_is_named(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "plug")
    with pytest.raises(DataError, match=r"plug.safetensors: encoder 'made-up': cannot be loaded"):
        PersonalizedLM.from_pretrained(folder)


def test_a_plug_for_another_encoder_is_refused(plug, monkeypatch):
    monkeypatch.setattr("pplug.method.saved.load_encoder", lambda name: tiny.MadeUpEncoder(name, width=9))
    with pytest.raises(DataError, match=r"plug.safetensors: encoder_width: expected 9"):
        PersonalizedLM.from_pretrained(plug)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop("no_history"), "no_history is missing"),
        (lambda w: w.update(extra=torch.zeros(1)), "extra is one too many"),
        (lambda w: w.update(no_history=torch.zeros(2, 16)), r"no_history: expected float32 \[1, 16\], found"),
        (lambda w: w.update(no_history=torch.zeros(1, 16).double()), r"no_history: expected float32 .*, found float64"),
        (lambda w: w.update(no_history=torch.zeros(1, 16).int()), "no_history: expected float32 .*, found int32"),
        (lambda w: w.update(no_history=torch.full((1, 16), float("nan"))), "no_history: expected finite numbers"),
    ],
)
def test_weights_of_another_plug_are_refused(plug, change, told):
    facts, weights = tiny.read_saved(plug)
    change(weights)
    tiny.write_saved(plug, facts, weights)
    with pytest.raises(DataError, match=rf"plug.safetensors: .*{told}"):
        PersonalizedLM.from_pretrained(plug)


@pytest.mark.parametrize("cut", [0, 4, 8, 100, -1])
def test_cut_weights_are_refused(plug, cut):
    path = plug / "plug.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"plug.safetensors: expected a safetensors file, but it is damaged"):
        PersonalizedLM.from_pretrained(plug)


def test_a_plug_whose_input_encoder_was_trained_comes_back(tmp_path, monkeypatch):
    """Its weights have names that only the encoder knows."""
    encoder = tiny.MadeUpEncoder(module=torch.nn.Linear(3, 3))
    monkeypatch.setattr("pplug.method.saved.load_encoder", lambda name: encoder)
    facts = {"llm": str(tiny.save_llm("t5", tmp_path / "llm")), "encoder": "made-up", "task": "LaMP-4"}
    model = build(*load_llm(facts["llm"]), encoder, None, facts, train_input_encoder=True)
    model.save_pretrained(tmp_path / "plug")
    loaded = PersonalizedLM.from_pretrained(tmp_path / "plug")
    assert tiny.weight_hash(loaded.plug) == tiny.weight_hash(model.plug)
    facts, weights = tiny.read_saved(tmp_path / "plug")
    weights["input_encoder.backbone.weight"] = torch.zeros(2, 2)
    tiny.write_saved(tmp_path / "plug", facts, weights)
    with pytest.raises(DataError, match=r"backbone.weight: expected float32 \[3, 3\], found float32 \[2, 2\]"):
        PersonalizedLM.from_pretrained(tmp_path / "plug")


def test_a_config_is_checked_where_it_is_made():
    with pytest.raises(InputError, match=r"llm_width"):
        PlugConfig(encoder_width=8, llm_width=-4, embedding_norm=1.0)
    PlugConfig(encoder_width=8, llm_width=4, embedding_norm=1)


def test_damaged_kept_answers_are_made_again(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("pplug.method.saved.load_encoder", lambda name: tiny.MadeUpEncoder(name))
    monkeypatch.setattr("pplug.method.predictions.prepare", lambda model, data, some: [None] * len(some))
    data = load(simulate(tmp_path / "d", "LaMP-4", 3, 0), "LaMP-4", tmp_path / "cache")
    model = PersonalizedLM.from_pretrained(saved)
    answered = []

    def answers(model, prepared, **options):
        answered.append(len(prepared))
        return [f"answer {number}" for number in range(3 - len(prepared), 3)]

    monkeypatch.setattr("pplug.method.predictions.predict", answers)
    whole = write_predictions(model, data, "test", tmp_path / "p.json").read_text()
    monkeypatch.setattr("pplug.method.predictions.predict", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_predictions(model, data, "test", tmp_path / "p.json")
    part = tmp_path / ".p.json.part"
    head = part.read_text()
    monkeypatch.setattr("pplug.method.predictions.predict", answers)
    for kept, left in (
        ('"answer 0"\n"ans', 2),
        ('"answer 0"\n5\n', 2),
        ("\0\n", 3),
        (DEEP + "\n", 3),
        ('"answer 0"\n' * 9, 0),
    ):
        part.write_text(head + kept)
        answered.clear()
        text = write_predictions(model, data, "test", tmp_path / "p.json").read_text()
        assert sum(answered) == left and (text == whole or left == 0)
    with pytest.raises(InputError, match=r"this is a folder"):
        write_predictions(model, data, "test", tmp_path)


# The command line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["simulate", "LaMP-4", "x", "--users", "0"],
            "--users: expected a whole number from 1 to 1,000,000, found '0'",
        ),
        (["simulate", "LaMP-4", "x", "--users", "-1"], "--users: expected a whole number"),
        (["simulate", "LaMP-4", "x", "--users", str(10**12)], "--users: expected a whole number"),
        (["simulate", "LaMP-4", "x", "--users", "9" * 10_000], "--users: expected a whole number"),
        (["simulate", "LaMP-4", "x", "--users", "nan"], "--users: expected a whole number"),
        (["simulate", "LaMP-4", "x", "--seed", "-1"], "--seed: expected a whole number from 0"),
        (["simulate", "../../LaMP-4", "x"], "unknown task '../../LaMP-4': expected one of LaMP-1"),
        (["simulate", "LaMP-4/../x", "x"], "unknown task"),
        (["from-table", "t.csv", "--task", "/etc/x"], "unknown task '/etc/x'"),
        (["train", "..", "x"], "unknown task '..'"),
        (["evaluate", MB_10], "unknown task"),
        (["predict", "x", "y", "--beams", "0"], "--beams: expected a whole number from 1 to 64"),
        (["standin", "x", "--steps", "-5"], "--steps: expected a whole number"),
        (["plan", "../paper"], "invalid choice"),
        (["download", "LaMP-4", "--split", "../x"], "invalid choice"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_wrong_arguments_are_told_before_anything_runs(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_things_that_are_not_there_end_with_a_message(tmp_path, monkeypatch, plug):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    simulate(tmp_path / "data", "LaMP-4", 2, 0)
    for arguments, told in (
        (["download", "../LaMP-4"], "unknown task '../LaMP-4'"),
        (["encode", "LaMP-4", "nothing"], "nothing: no LaMP files here"),
        (["encode", "LaMP-4", "x" * 300], "File name too long"),
        (["encode", "LaMP-4", "data", "--encoder", "../x"], "encoder '../x': cannot be loaded"),
        (["encode", "LaMP-4", "data", "--encoder", ""], "encoder '': expected a name or a folder"),
        (["simulate", "LaMP-4", "file", "--users", "1"], "file"),
        (["from-table", "nothing.csv"], "nothing.csv"),
        (["from-table", "."], "expected a .csv or .jsonl file"),
        (["forget", "LaMP-4", "data", "../../x"], "expected a user called '../../x'"),
        (["predict", "nothing", "data"], "nothing: no saved plug here"),
        (["predict", "plug", "nothing"], "nothing: no LaMP files here"),
        (["predict", "plug", "data", "--split", "../x"], "no ../x questions in this data"),
        (["predict", "plug", "data", "--out", "."], "expected the name of a file"),
        (["predict", "plug", "data", "--out", "file/x"], "file"),
        (["standin", "out", "--data", "data"], "data: expected a folder that holds LaMP_1"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert isinstance(stopped.value.code, str) and told in stopped.value.code, arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file", "plug"]


@pytest.mark.parametrize("variable", ["PPLUG_PROFILE", "PPLUG_LLM", "PPLUG_DATA"])
@pytest.mark.parametrize("value", ["../x", "a/b", "x" * 300])
def test_odd_environment_variables_are_told(tmp_path, monkeypatch, variable, value):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        main(["train", "LaMP-7", "plug"])
    assert isinstance(stopped.value.code, str) and value[:100] in stopped.value.code


def test_data_there_is_nothing_to_train_on_is_told(tmp_path, monkeypatch, saved):
    from dataclasses import replace

    llm = tiny.read_saved(saved)[0]["llm"]
    small = replace(config.SMOKE, steps=1, batch_size=2, n_users=None, data=str(tmp_path), llm=llm)
    monkeypatch.setattr(config, "get_profile", lambda: small)
    for questions, golds, told in (([question()], None, "no train_outputs.json"), ([], [], "no training examples")):
        put(tmp_path / "LaMP_4", questions, golds)
        with pytest.raises(SystemExit, match=told):
            main(["train", "LaMP-4", str(tmp_path / "plug")])
    (tmp_path / "LaMP_4" / "train_questions.json").rename(tmp_path / "LaMP_4" / "dev_questions.json")
    for items_as_questions in (True, False):
        small = replace(small, items_as_questions=items_as_questions)
        with pytest.raises(SystemExit, match=r"no train_questions.json"):
            main(["train", "LaMP-4", str(tmp_path / "plug")])
    assert not (tmp_path / "plug").exists()


def test_a_damaged_list_of_downloads_is_named(tmp_path, monkeypatch):
    from pplug.sources.download import download

    monkeypatch.setattr("pplug.sources.download._fetch", lambda source, part: part.write_text("[]"))
    (tmp_path / "downloads.json").write_text("[1")
    with pytest.raises(DataError, match=r"downloads.json: expected JSON"):
        download(tmp_path, "LaMP-4")
    (tmp_path / "downloads.json").write_text("[1]")
    with pytest.raises(DataError, match=r"downloads.json: expected an object"):
        download(tmp_path, "LaMP-4")


def test_an_error_reads_short_and_steers_no_terminal(tmp_path):
    (tmp_path / "x.json").write_text('["\x1b[2J' + "x" * 10_000)
    with pytest.raises(DataError) as caught:
        read_json(tmp_path / "x.json")
    assert len(str(caught.value)) < 300 and str(caught.value).isprintable()
