"""Chats of 1,315 real people, from the package `chitchat-dataset` (MIT), as LaMP files: *reply to this message*.

A user's replies are split by chat, never inside one: the last chat is test, the one before dev, the one before that
train, earlier ones are history. People with too few chats are newcomers: they are asked their last chat's questions in
the test split alone, with what history they have.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pplug.base import cache_folder, file_hash, made_once, package_file, read_json, write_text
from pplug.data import SPLITS, Task, build_input
from pplug.sources.own_users import MAIL

SHA256 = "d2a5d0bf6acf354fef51f3af39cbece2220d3b8f6086b658c3d335105798312a"  # of the package's dataset.json
FORGOTTEN = "forgotten.json"  # in the cache: their pseudonyms
MOST_ITEMS = 60  # of a history, the newest: two people wrote 25,000 messages each
MOST_QUESTIONS = 4  # of a chat
FEWEST_CHATS, FEWEST_REPLIES = 3, 10  # of a user in the train split
MESSAGE_WORDS, REPLY_WORDS = (3, 60), (4, 40)
LINK = re.compile(r"(?:https?://|www\.)\S+|\b[\w-]+\.(?:com|org|net|edu|io|co\.uk)(?:/\S*)?\b", re.IGNORECASE)

CHAT = Task(
    name="chat",
    title="reply in a chat",
    template="Reply to this message in a chat: {message}",
    fields=("message", "reply", "chat"),
    history="{reply}",
    labelled_history="{message} {reply}",
    prompt_item='message: "{message}", reply: "{reply}"',
    held_out=("message", "reply"),
    occasion="chat",
)
WHO = replace(
    CHAT,
    name="chat-who",
    title="who wrote it",
    template='Which reply to "{message}" did this person write? [1]: "{first}" [2]: "{second}"',
    held_out=None,
    occasion="",
    labels=("[1]", "[2]"),
    metrics=("accuracy",),
    max_new_tokens=10,
)


@dataclass(frozen=True)
class Reply:
    """One reply of a user, with what it replied to."""

    user: str
    chat: str
    start: str
    topic: str
    message: str
    reply: str


def chat_folder(task: str = "chat") -> Path:
    """The folder of LaMP files of the real people's chats, made on first use and kept in the cache.

    Args:
        task: `"chat"`, or `"chat-who"` for *who wrote it?*

    Raises:
        InputError: The package is not installed, or its file is not the expected one.
    """
    source = _package()
    without = forgotten()
    named = hashlib.sha256(json.dumps(without).encode()).hexdigest()[:8] if without else "all"
    folder = cache_folder() / "chat" / f"{SHA256[:8]}-{file_hash(Path(__file__))[:8]}-{named}"
    return made_once(folder, lambda made: write_chats(source, made, without)) / task


def forgotten() -> list[str]:
    """The people who were forgotten (forget.py): the package still has their chats, nothing else may."""
    path = cache_folder() / "chat" / FORGOTTEN
    return json.loads(path.read_text()) if path.exists() else []


def chats_with(user: str) -> list[Reply]:
    """Every reply in the package's chats that a person took part in, whoever was forgotten; none of an unknown person.

    Args:
        user: The person's pseudonym.

    Raises:
        InputError: As `chat_folder`.
    """
    others = set(read_chats(_package(), [user]))
    return [reply for reply in read_chats(_package()) if reply not in others]


def _package() -> Path:
    return package_file("chitchat-dataset", "dataset.json", SHA256)


def masked(text: str) -> str:
    """A text without e-mail addresses and links, its white space made single spaces."""
    return " ".join(LINK.sub("[link]", MAIL.sub("[e-mail]", text)).split())


def read_chats(path: Path, without: Collection[str] = ()) -> list[Reply]:
    """Every reply of a chat of two, in the order of chats and turns; senders under short pseudonyms.

    What is replied to are the partner's last turns, as many as fit in `MESSAGE_WORDS`, at least the last.

    Args:
        path: The package's file.
        without: People who were forgotten: whole chats go, since their partners' items quote them.
    """
    chats = sorted(read_json(path).items(), key=lambda chat: (chat[1]["start"], chat[0]))
    senders = {m["sender"] for _, chat in chats for turn in chat["messages"] for m in turn}
    names = {sender: f"person-{number:04d}" for number, sender in enumerate(sorted(senders))}
    gone = set(without)
    replies = [
        _replies(f"c{number}", chat, names) for number, (_, chat) in enumerate(chats) if not gone & _of(chat, names)
    ]
    return [reply for some in replies for reply in some]


def _of(chat: dict, names: dict[str, str]) -> set[str]:
    return {names[message["sender"]] for turn in chat["messages"] for message in turn}


def _replies(name: str, chat: dict, names: dict[str, str]) -> Iterator[Reply]:
    turns = [turn for turn in chat["messages"] if turn]
    said = [(names[turn[0]["sender"]], masked(" ".join(m["text"] for m in turn))) for turn in turns]
    for at in range(1, len(said)):
        user, reply = said[at]
        partners = [text for other, text in said[:at] if other != user and text]
        if said[at - 1][0] == user or not partners:
            continue
        message = partners.pop()
        while partners and len(f"{partners[-1]} {message}".split()) <= MESSAGE_WORDS[1]:
            message = f"{partners.pop()} {message}"
        if _within(message, MESSAGE_WORDS) and _within(reply, REPLY_WORDS):
            yield Reply(user, name, chat["start"], chat.get("prompt", ""), message, reply)


def _within(text: str, words: tuple[int, int]) -> bool:
    return words[0] <= len(text.split()) <= words[1]


def write_chats(source: Path, folder: Path, without: Collection[str] = ()) -> dict[str, int]:
    """Write the chats as LaMP files: `chat` and `chat-who` under `folder`, each with its `task.json`.

    Args:
        source: The package's file.
        folder: Where to.
        without: See `read_chats`.

    Returns:
        How many people are in the train split, and how many are newcomers: `{"users", "newcomers"}`.
    """
    replies = read_chats(source, without)
    by_user: dict[str, list[Reply]] = {}
    for reply in replies:
        by_user.setdefault(reply.user, []).append(reply)
    asked: dict[str, list[tuple[Reply, list[Reply]]]] = {split: [] for split in SPLITS}
    kept, newcomers = 0, []
    for user in sorted(by_user):
        own = by_user[user]
        chats = list(dict.fromkeys(reply.chat for reply in own))
        is_kept = len(chats) >= FEWEST_CHATS and len(own) >= FEWEST_REPLIES
        kept += is_kept
        for split, back in zip(SPLITS, (3, 2, 1), strict=True) if is_kept else (("test", 1),):
            earlier = set(chats[:-back])
            history = [reply for reply in own if reply.chat in earlier][-MOST_ITEMS:]
            questions = [reply for reply in own if reply.chat == chats[-back]][:MOST_QUESTIONS]
            (asked[split] if is_kept else newcomers).extend((question, history) for question in questions)
    asked["test"] += newcomers  # behind the others: the first so many of a split are then people who were trained on
    others = _others_replies(replies, [question for split in SPLITS for question, _ in asked[split]])
    for task in (CHAT, WHO):
        (folder / task.name).mkdir(parents=True)
        write_text(folder / task.name / "task.json", json.dumps(task.to_json(), indent=1))
    for split in SPLITS:
        _write(folder, CHAT, split, asked[split], {})
        _write(folder, WHO, split, asked[split], others)
    return {"users": kept, "newcomers": len({question.user for question, _ in newcomers})}


def _others_replies(replies: list[Reply], questions: list[Reply]) -> dict[Reply, str]:
    """For each question another person's reply of like length, from a chat on the same conversation prompt."""
    by_topic: dict[str | None, list[Reply]] = {None: replies}  # all, where nobody else was given the topic
    for reply in replies:
        by_topic.setdefault(reply.topic, []).append(reply)
    lengths = {topic: np.array([len(r.reply) for r in own]) for topic, own in by_topic.items()}
    users = {topic: np.array([r.user for r in own]) for topic, own in by_topic.items()}
    found, rng = {}, np.random.default_rng(0)
    for question in questions:
        topic = question.topic if (users[question.topic] != question.user).any() else None
        distance = np.abs(lengths[topic] - len(question.reply)) + (users[topic] == question.user) * 10**9
        found[question] = by_topic[topic][rng.choice(np.flatnonzero(distance == distance.min()))].reply
    return found


def _write(folder: Path, task: Task, split: str, asked: list, others: dict[Reply, str]) -> None:
    questions, golds, numbers = [], [], Counter()
    rng = np.random.default_rng(1)
    for question, history in asked:
        numbers[question.user] += 1
        key = f"{split}-{question.user}-{numbers[question.user]}"
        items = [
            {"id": f"{key}-{i}", "date": r.start, "message": r.message, "reply": r.reply, "chat": r.chat}
            for i, r in enumerate(history)
        ]
        slots, answer = {"message": question.message}, question.reply
        if others:
            place = int(rng.integers(2))
            pair = [others[question], others[question]]
            pair[place] = question.reply
            slots |= {"first": pair[0], "second": pair[1]}
            answer = task.labels[place]
        text = build_input(task, **slots)
        questions.append({"id": key, "user_id": question.user, "input": text, "date": question.start, "profile": items})
        golds.append({"id": key, "output": answer})
    write_text(folder / task.name / f"{split}_questions.json", json.dumps(questions))
    write_text(folder / task.name / f"{split}_outputs.json", json.dumps({"task": task.name, "golds": golds}))
