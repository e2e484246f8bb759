"""Deleted means deleted: nothing of a forgotten user is left in any file, and nothing else is missing."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from families import save_family

from pplug.__main__ import main
from pplug.base.errors import DataError
from pplug.data.loading import load
from pplug.data.tasks import TASKS, build_input, history_text, query_text
from pplug.method.encoders import encode, load_encoder, text_keys
from pplug.method.store import read
from pplug.sources.forget import forget
from pplug.sources.own_users import DatedText, write_users

TASK = "LaMP-4"


@pytest.fixture(scope="module")
def encoder():
    return load_encoder()


@pytest.fixture
def world(tmp_path, encoder):
    """Three users with histories and vectors; `ann` and `bob` share one text."""
    texts = [
        DatedText(
            user, f"2024-01-{day:02}", f"{user} writes about matter {day}" if day > 1 else "a shared text", f"t {day}"
        )
        for user in ("ann", "bob", "eve")
        for day in range(1, 8)
    ]
    write_users(tmp_path / "data", TASK, texts)
    data = load(tmp_path / "data", TASK, tmp_path / "cache")
    encode(encoder, data.history_texts(), tmp_path / "cache")
    encode(encoder, data.history_texts(with_label=False), tmp_path / "cache")
    encode(encoder, [e["input"] for e in data.splits["train"]], tmp_path / "cache", is_query=True)
    reads = [query_text(data.task, e["input"]) for split in data.splits.values() for e in split]
    encode(encoder, reads, tmp_path / "cache", is_query=True)
    return tmp_path, data


def contents(folder):
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def bytes_of(encoder, data, user, cache):
    """The user's own texts and their vectors, as they would stand in a file."""
    own = [e for split in data.splits.values() for e in split if e["user_id"] == user]
    rows = {row for e in own for row in e["profile"]}
    texts = [history_text(data.task, data.items[row]) for row in rows]
    texts = [text for text in texts if "shared" not in text]
    vectors, found = read(cache / "vectors" / encoder.key, np.sort(text_keys(encoder, texts)), encoder.width)
    assert found.all() and len(texts) == 5
    return [f"{user} writes about".encode(), *(vector.tobytes() for vector in vectors)]


def test_no_file_holds_a_forgotten_users_texts_or_vectors(world, encoder):
    folder, data = world
    hers, his = (bytes_of(encoder, data, user, folder / "cache") for user in ("ann", "bob"))
    everything = contents(folder)
    assert all(part in everything for part in hers + his)
    told = forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    left = contents(folder)
    assert not any(part in left for part in hers)
    after = load(folder / "data", TASK, folder / "cache")
    assert all(part in contents(folder) for part in his)
    assert told["questions"] == 3 and told["vectors"] == 9  # five items, three questions, one of them also in full
    assert {e["user_id"] for split in after.splits.values() for e in split} == {"bob", "eve"}


def test_one_call_forgets_the_vectors_of_several_encoders(world, encoder, tmp_path, monkeypatch):
    """A later one could not: the texts that vectors are found by are gone."""
    folder, data = world
    second = load_encoder(save_family("bge", tmp_path / "bge-small-en", data.history_texts()))
    encode(second, data.history_texts(), folder / "cache")
    hers = [part for one in (encoder, second) for part in bytes_of(one, data, "ann", folder / "cache")]
    monkeypatch.setenv("PPLUG_CACHE", str(folder / "cache"))
    main(["forget", TASK, str(folder / "data"), "ann", "--encoder", "minilm", "--encoder", second.name])
    left = contents(folder / "data") + contents(folder / "cache")  # not its tokenizer, which was learnt from the texts
    assert not any(part in left for part in hers)


def test_vectors_of_another_machine_go_too(world, encoder):
    """Where the cache is shared by a GPU and a CPU, each computes in its precision, in a folder of its own."""
    folder, data = world
    there = replace(encoder, precision={"float32": "bfloat16", "bfloat16": "float32"}[encoder.precision])
    encode(there, data.history_texts(), folder / "cache")
    hers = bytes_of(there, data, "ann", folder / "cache")
    forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    left = contents(folder)
    assert there.key != encoder.key and not any(part in left for part in hers)


def test_single_items_are_forgotten_with_the_question_about_them(world, encoder):
    """Item 0-4 is the text that the train question asks about."""
    folder, data = world
    prepared = [build_input(data.task, article="ann writes about matter 3")]  # as training asks about history items
    encode(encoder, prepared, folder / "cache", is_query=True)
    told = forget(folder / "data", TASK, "ann", encoder, ["0-2", "0-4"], folder / "cache")
    after, left = load(folder / "data", TASK, folder / "cache"), contents(folder)
    assert told["questions"] == 1 and [len(split) for split in after.splits.values()] == [2, 3, 3]
    for day, is_there in ((2, True), (3, False), (4, True), (5, False), (6, True)):
        assert (f"ann writes about matter {day}".encode() in left) == is_there, day
    hers = after.splits["test"].filter(lambda e: e["user_id"] == "ann", load_from_cache_file=False)[0]
    assert [after.items[row]["title"] for row in hers["profile"]] == ["t 1", "t 2", "t 4", "t 6"]
    store = folder / "cache" / "vectors" / encoder.key
    gone = [history_text(data.task, {"text": f"ann writes about matter {day}", "title": f"t {day}"}) for day in (3, 5)]
    assert not read(store, np.sort(text_keys(encoder, gone + prepared, is_query=True)), encoder.width)[1].any()


def test_a_run_that_was_stopped_is_started_again(world, encoder, monkeypatch):
    folder, _ = world
    rename, written = os.replace, []

    def stop_in_the_middle(source, target):
        if len(written) == 3:
            raise KeyboardInterrupt
        if target.parent.name == "data":
            written.append(target.name)
        rename(source, target)

    monkeypatch.setattr("pplug.base.files.os.replace", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    assert written[-1] == "dev_outputs.json"  # the question is there, its output is not: `load` would refuse the folder
    monkeypatch.undo()
    forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    assert b"ann writes" not in contents(folder)
    assert len(load(folder / "data", TASK, folder / "cache").splits["test"]) == 2


# Which questions are about a forgotten item


def put(folder, task: str, questions: list[tuple[str, dict, str]], profile: list[dict]):
    """Train questions of `ann`, each with an id, its slots and its output, and all with one profile."""
    spec = TASKS[task]
    asked = [
        {"id": number, "user_id": "ann", "input": build_input(spec, **slots), "profile": profile}
        for number, slots, _ in questions
    ]
    golds = [{"id": number, "output": output} for number, _, output in questions]
    folder.mkdir(parents=True)
    (folder / "train_questions.json").write_text(json.dumps(asked))
    (folder / "train_outputs.json").write_text(json.dumps({"task": task.replace("-", "_"), "golds": golds}))
    return folder


def left(folder, task: str, encoder, ids: list[str], cache) -> list[str]:
    """Which questions are left once the items are forgotten."""
    forget(folder, task, "ann", encoder, ids, cache)
    return load(folder, task, cache).splits["train"]["id"][:]


@pytest.mark.fault(8)
@pytest.mark.parametrize(("text", "stay"), [("lol", ["1", "3", "4"]), ("LOL", ["1", "2", "3", "4"])])
def test_only_questions_about_exactly_the_text_are_forgotten(tmp_path, encoder, text, stay):
    texts = {"1": "lollipops", "2": "lol", "3": "Lol", "4": "a lol b"}
    questions = [(number, {"article": article}, "A title") for number, article in texts.items()]
    profile = [{"id": "i", "text": text, "title": "x"}, {"id": "j", "text": "other", "title": "y"}]
    folder = put(tmp_path / "in", "LaMP-4", questions, profile)
    assert left(folder, "LaMP-4", encoder, ["i"], tmp_path) == stay


@pytest.mark.fault(8)
@pytest.mark.parametrize("nothing", ["", None, " "])
def test_an_item_without_text_is_no_question(tmp_path, encoder, nothing):
    profile = [{"id": "i", "text": nothing, "title": nothing}, {"id": "j", "text": "other", "title": "y"}]
    questions = [("1", {"article": "rain"}, "Rain"), ("2", {"article": ""}, "Nothing")]
    folder = put(tmp_path / "in", "LaMP-4", questions, profile)
    assert left(folder, "LaMP-4", encoder, ["i"], tmp_path) == ["1", "2"]
    assert json.loads((folder / "train_questions.json").read_text())[0]["profile"] == profile[1:]


@pytest.mark.fault(8)
def test_a_label_or_a_title_is_not_what_a_question_is_about(tmp_path, encoder):
    """The longest field of an item used to be searched for in the questions, whichever it was."""
    profile = [{"id": "i", "text": "ok", "title": "The rain in Spain"}]
    questions = [("1", {"article": "The rain in Spain stays"}, "x"), ("2", {"article": "ok"}, "y")]
    folder = put(tmp_path / "4", "LaMP-4", questions, profile)
    assert left(folder, "LaMP-4", encoder, ["i"], tmp_path) == ["1"]
    profile = [{"id": "i", "text": "fine", "score": "5"}, {"id": "j", "text": "", "score": "5"}]
    folder = put(tmp_path / "3", "LaMP-3", [("1", {"review": "5"}, "5"), ("2", {"review": "fine"}, "4")], profile)
    assert left(folder, "LaMP-3", encoder, ["i", "j"], tmp_path) == ["1"]


@pytest.mark.fault(8)
def test_an_answer_that_is_the_whole_item_goes_with_it(tmp_path, encoder):
    """LaMP-7 asks with a paraphrase: the user's own text is the answer, and stays nowhere."""
    questions = [("1", {"tweet": "it is raining"}, "rain again, lol"), ("2", {"tweet": "it is sunny"}, "sun!")]
    profile = [{"id": "i", "text": "rain again, lol"}, {"id": "j", "text": "snow"}]
    folder = put(tmp_path / "in", "LaMP-7", questions, profile)
    assert left(folder, "LaMP-7", encoder, ["i"], tmp_path / "cache") == ["2"]
    assert b"rain again" not in contents(tmp_path)


def test_another_item_with_the_same_text_stays_in_the_history(tmp_path, encoder):
    profile = [{"id": "i", "text": "twice", "title": "x"}, {"id": "j", "text": "twice", "title": "x"}]
    folder = put(tmp_path / "in", "LaMP-4", [("1", {"article": "rain"}, "Rain")], profile)
    assert left(folder, "LaMP-4", encoder, ["i"], tmp_path) == ["1"]
    assert json.loads((folder / "train_questions.json").read_text())[0]["profile"] == profile[1:]


@pytest.mark.fault(8)
def test_an_item_without_id_is_not_the_one_called_none(tmp_path, encoder):
    profile = [{"text": "no id", "title": "x"}, {"id": "None", "text": "an id", "title": "y"}]
    folder = put(tmp_path / "in", "LaMP-4", [("1", {"article": "no id"}, "x")], profile)
    assert left(folder, "LaMP-4", encoder, ["None"], tmp_path) == ["1"]
    assert json.loads((folder / "train_questions.json").read_text())[0]["profile"] == profile[:1]


def test_a_text_that_others_have_too_stays_theirs(world, encoder):
    folder, data = world
    shared = [text for text in data.history_texts() if "shared" in text]
    forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    store = folder / "cache" / "vectors" / encoder.key
    assert read(store, text_keys(encoder, shared), encoder.width)[1].all()
    forget(folder / "data", TASK, "bob", encoder, cache=folder / "cache")
    assert read(store, text_keys(encoder, shared), encoder.width)[1].all()  # eve has it, too
    forget(folder / "data", TASK, "eve", encoder, cache=folder / "cache")
    assert not read(store, text_keys(encoder, shared), encoder.width)[1].any() and not list(store.iterdir())


def test_what_a_killed_process_left_goes_too(world, encoder):
    folder, _ = world
    left = folder / "cache" / "vectors" / encoder.key / ".1.npy.99.tmp"
    left.write_bytes(b"half a shard")
    forget(folder / "data", TASK, "ann", encoder, cache=folder / "cache")
    assert not left.exists()


def test_a_user_who_is_not_there_is_an_error(world, encoder, capsys):
    folder, _ = world
    with pytest.raises(DataError, match="expected a user called 'nobody'"):
        forget(folder / "data", TASK, "nobody", encoder, cache=folder / "cache")
    with pytest.raises(SystemExit, match="nobody"):
        main(["forget", TASK, str(folder / "data"), "nobody"])
    with pytest.raises(SystemExit, match="user ann: expected ids of items of this user, found '9-9'"):
        main(["forget", TASK, str(folder / "data"), "ann", "--items", "0-1", "9-9"])
    main(["forget", TASK, str(folder / "data"), "ann"])
    assert "removed: 3 questions" in capsys.readouterr().out
