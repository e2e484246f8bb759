"""Real people's chats as LaMP files; here of invented people, in the data set's form."""

import importlib.util
import json
from importlib.util import find_spec

import pytest
from chitchat import made_chats, message
from families import save_family

from pplug.__main__ import main
from pplug.base import DataError
from pplug.data import SPLITS, held_out_examples, history_text, load, parse_input, query_text
from pplug.method import encode, load_encoder
from pplug.sources import chat
from pplug.sources.chat import masked, read_chats, write_chats
from pplug.sources.forget import forget_person


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(made_chats()))
    return path


@pytest.fixture
def folder(source, tmp_path):
    assert write_chats(source, tmp_path / "out") == {"users": 4, "newcomers": 1}
    return tmp_path / "out"


def test_last_chats_are_asked_and_only_earlier_ones_are_history(folder):
    data = load(folder / "chat")
    asked = {
        split: {number_of(e["output"]) for e in data.splits[split] if "new" not in e["user_id"]} for split in SPLITS
    }
    assert asked["train"] == {"chat 5"} and asked["dev"] == {"chat 6"}
    for split, last in (("train", 5), ("dev", 6)):
        for example in data.splits[split]:
            history = {number_of(data.items[row]["reply"]) for row in example["profile"]}
            assert history == {f"chat {n}" for n in range(last)}


def number_of(text: str) -> str:
    return " ".join(text.split()[-2:])


def test_a_history_is_the_users_own_and_the_message_the_partners(folder):
    data = load(folder / "chat")
    for example in data.splits["train"]:
        own = example["output"].split()[0]
        assert own not in example["input"]
        for row in example["profile"]:
            item = data.items[row]
            assert item["reply"].startswith(own) and own not in item["message"]


def test_an_item_as_a_question_has_only_earlier_chats_as_history(folder):
    data = load(folder / "chat")
    examples = held_out_examples(data)
    assert examples
    for example in examples:
        asked = int(example["output"].split()[-1])
        assert {int(data.items[row]["reply"].split()[-1]) for row in example["profile"]} == set(range(asked))


def test_newcomers_are_asked_behind_the_others_and_never_trained_on(folder):
    data = load(folder / "chat")
    trained = set(data.splits["train"]["user_id"])
    is_new = [user not in trained for user in data.splits["test"]["user_id"]]
    assert any(is_new) and is_new == sorted(is_new)
    empty = [e for e in data.splits["test"] if not e["profile"]]
    assert [e["output"] for e in empty] == ["rather well thank you all"]


@pytest.fixture
def installed(source, tmp_path, monkeypatch):
    """The package, with the invented chats in it, and an empty cache."""
    monkeypatch.setattr(chat, "package_file", lambda *_: source)
    monkeypatch.setenv("PPLUG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_person_can_be_forgotten_and_so_can_what_others_quote_of_her(installed, capsys):
    encoder, data = load_encoder(), load(chat.chat_folder())
    encode(encoder, data.history_texts())
    gone = read_chats(chat.package_file())[0]
    whose = gone.reply.split()[0]  # "sender-0 says …"
    own = [row for row, item in enumerate(data.items) if whose in f"{item['message']} {item['reply']}"]
    vectors = [v.tobytes() for v in encode(encoder, [history_text(data.task, data.items[row]) for row in own])]
    assert main(["forget", "chat", "chat", gone.user]) in (0, None)
    assert "0 vectors" not in capsys.readouterr().out
    everything = contents(installed)
    assert own and whose.encode() not in everything and not any(vector in everything for vector in vectors)
    left = load(chat.chat_folder())
    assert gone.user not in left.splits["test"]["user_id"] and len(left.splits["test"])
    stays = [item["reply"] for item in left.items]
    assert stays and set(stays) < {item["reply"] for item in data.items}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Two; the second puts a prompt in front of a query, so that a text has another vector as a query."""
    said = [turn[0]["text"] for chat in made_chats().values() for turn in chat["messages"]]
    return load_encoder(), load_encoder(save_family("bge", tmp_path_factory.mktemp("a") / "bge-small-en", said))


def encoded(encoder, words: str) -> list[bytes]:
    """Encode what training and evaluation read of the chats; the vectors of texts with these words."""
    found = []
    for task in ("chat", "chat-who"):
        data = load(chat.chat_folder(task))
        asked = [e for split in data.splits.values() for e in split] + held_out_examples(data)
        texts = data.history_texts() + data.history_texts(with_label=False)
        queries = [query_text(data.task, e["input"]) for e in asked]
        for read, is_query in ((texts, False), (queries, True)):
            vectors = encode(encoder, read, is_query=is_query)
            found += [vector.tobytes() for text, vector in zip(read, vectors, strict=True) if words in text]
    return found


def contents(folder) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def pseudonym(name: str) -> str:
    return next(reply.user for reply in read_chats(chat.package_file()) if reply.reply.startswith(name))


@pytest.mark.parametrize("other", ["sender-2", "sender-1"])
def test_a_later_call_forgets_her_vectors_by_another_encoder(installed, encoders, other):
    """Whoever else was forgotten meanwhile, even the partner whom she shares her chats with."""
    first, second = encoders
    her, by_first, by_second = pseudonym("sender-0"), encoded(first, "sender-0 "), encoded(second, "sender-0 ")
    everything = contents(installed)
    assert by_first and by_second and all(vector in everything for vector in by_first + by_second)
    assert forget_person(her, first)["questions"]
    forget_person(pseudonym(other), first)
    left = contents(installed)
    assert not any(vector in left for vector in by_first) and all(vector in left for vector in by_second)
    told = forget_person(her, second)
    assert told["vectors"] and not told["questions"]
    left = contents(installed)
    assert b"sender-0 " not in left and not any(vector in left for vector in by_second)
    assert forget_person(her, encoders)["vectors"] == 0


def test_what_others_say_too_keeps_its_vector(installed, encoders):
    kept = encoded(encoders[1], "sender-2 ")
    forget_person(pseudonym("sender-0"), encoders)
    left = contents(installed)
    assert kept and all(vector in left for vector in kept)


def test_forgetting_a_person_that_was_stopped_is_started_again(installed, encoders, monkeypatch):
    hers = encoded(encoders[0], "sender-0 ")
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("pplug.sources.forget.remove", lambda *_: 1 / 0)
        forget_person(pseudonym("sender-0"), encoders[0])
    assert forget_person(pseudonym("sender-0"), encoders[0])["vectors"]
    left = contents(installed)
    assert b"sender-0 " not in left and not any(vector in left for vector in hers)


def test_a_person_of_another_name_is_an_error(installed, encoders):
    with pytest.raises(DataError, match="expected a person called 'nobody': no chat here is theirs"):
        forget_person("nobody", encoders[0])
    assert not chat.forgotten()


def test_histories_and_questions_are_capped(source, tmp_path, monkeypatch):
    monkeypatch.setattr(chat, "MOST_ITEMS", 5)
    monkeypatch.setattr(chat, "MOST_QUESTIONS", 2)
    write_chats(source, tmp_path / "out")
    data = load(tmp_path / "out" / "chat")
    for split in SPLITS:
        examples = data.splits[split].to_list()
        assert max(len(e["profile"]) for e in examples) <= 5
        for user in {e["user_id"] for e in examples}:
            assert sum(e["user_id"] == user for e in examples) <= 2
    newest = [data.items[row]["reply"] for row in data.splits["dev"][0]["profile"]]
    assert {number_of(text) for text in newest} <= {"chat 5", "chat 4"}, "the newest are kept"


def test_who_wrote_it_has_the_users_own_reply_and_another_persons_of_the_same_topic(folder):
    who, chats = load(folder / "chat-who"), load(folder / "chat")
    places = set()
    for pair, alone in zip(who.splits["test"].to_list(), chats.splits["test"].to_list(), strict=True):
        slots = parse_input(chat.WHO, pair["input"])
        own = slots[("first", "second")[pair["output"] == "[2]"]]
        other = slots[("first", "second")[pair["output"] == "[1]"]]
        places.add(pair["output"])
        assert own == alone["output"] and other.split()[0] != own.split()[0]
        if own.startswith("sender"):
            assert int(own.split()[-1]) % 2 == int(other.split()[-1]) % 2, "topics alternate by chat"
    assert places == {"[1]", "[2]"}


def test_addresses_and_links_are_masked_and_senders_have_pseudonyms(tmp_path):
    said = "write to a.b@mail.org or see https://me.example.com/x?y=1 or www.here.net, or example.com today"
    assert masked(said) == "write to [e-mail] or see [link] or [link] or [link] today"
    assert masked("at 10.30 i.e. now...ok") == "at 10.30 i.e. now...ok"
    turns = [[message("4f-uuid", "hello how are you", 0)], [message("9a-uuid", f"well {said}", 1)]]
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"x": {"messages": turns, "start": "2018-05-02T19:38:15Z", "prompt": "?"}}))
    (reply,) = read_chats(path)
    assert reply.user == "person-0001" and "@" not in reply.reply and "uuid" not in str(reply)


def test_the_partners_last_turns_are_what_is_replied_to_as_many_as_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(chat, "MESSAGE_WORDS", (3, 8))
    turns = [[message("ab"[turn % 2], f"turn {turn} has five words", turn)] for turn in range(4)]
    turns[2] = [message("a", "just three words", 2)]
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"x": {"messages": turns, "start": "2018-05-02T19:38:15Z"}}))
    last = read_chats(path)[-1]
    assert last.message == "turn 0 has five words just three words" and last.reply == "turn 3 has five words"
    monkeypatch.setattr(chat, "MESSAGE_WORDS", (3, 7))
    assert read_chats(path)[-1].message == "just three words"


def test_without_the_package_or_with_another_file_the_command_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"chitchat-dataset: .*pip install --no-deps"):
        chat.chat_folder()


def test_chats_are_a_profiles_data_by_name(folder, monkeypatch):
    from pplug.config import get_profile
    from pplug.study import experiment

    monkeypatch.setenv("PPLUG_DATA", "chat")
    monkeypatch.setattr(experiment, "chat_folder", lambda task: folder / task)
    profile = get_profile("smoke")
    assert (profile.data, profile.name) == ("chat", "smoke-chat")
    assert experiment.available_tasks(profile) == ["chat"]
    data = experiment.task_data("chat", profile)
    assert data.task == chat.CHAT and data.factors is None
    assert experiment.task_data("chat-who", profile).task == chat.WHO


def test_an_altered_file_is_refused(monkeypatch):
    if find_spec("chitchat_dataset") is None:
        pytest.skip("needs the package chitchat-dataset")
    monkeypatch.setattr(chat, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"dataset.json: expected the file of chitchat-dataset"):
        chat.chat_folder()
