"""Forgetting a user, or single items of a history: they leave the LaMP files, the working copies and the store.

What it does not undo: the weights of plugs that were trained with the texts (train them anew), and files that were made
of them, such as executed notebooks and predictions.
"""

import json
import shutil
from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from pplug.base import DataError, cache_folder, json_items, read_json, replacing, write_text
from pplug.data import SPLITS, Task, as_text, build_input, check_file, clean_items, get_task, history_text, query_text
from pplug.method import Encoder, remove, text_keys
from pplug.sources.chat import CHAT, FORGOTTEN, WHO, chat_folder, chats_with, forgotten

LIST = "a list of questions"


def forget(
    folder: str | Path,
    task: Task | str,
    user_id: str,
    encoder: Encoder | Collection[Encoder],
    items: Collection[str] = (),
    cache: str | Path | None = None,
) -> dict[str, int]:
    """Remove a user's questions, outputs, history and vectors from disk, or only some items of the history.

    A text that stays elsewhere in the folder, such as another user's, keeps its vector. The files are rewritten last: a
    run that was stopped is simply started again. No other process should be writing to the store meanwhile.

    Args:
        folder: LaMP files; they are rewritten.
        task: The task they are for.
        user_id: The user; where the files have no `user_id`, the id of a question.
        encoder: The encoder whose vectors are removed, of history items and of questions; or several: all that were
            used, since a later call no longer has the texts that vectors are found by.
        items: Ids of history items. If any, these alone leave the user's profiles, and with them the user's questions
            about exactly the same text; all that is the user's if none.
        cache: See `encoders.encode`.

    Returns:
        What was removed: `{"questions", "texts", "vectors"}`.

    Raises:
        DataError: No question of the folder is this user's, or no item has one of the ids.
    """
    folder, cache = Path(folder), Path(cache) if cache else cache_folder()
    spec = task if isinstance(task, Task) else get_task(task)
    paths = [path for split in SPLITS if (path := folder / f"{split}_questions.json").exists()]
    for path in paths:  # not by `load`: a run that was stopped may have left questions without their outputs
        check_file(path, spec, "questions")
    before = [question for path in paths for question in json_items(path, LIST) if _user(question) == user_id]
    if not before:
        raise DataError(f"{folder}: expected a user called {user_id!r}: no question here is theirs")
    dropped = [item for question in before for item in question["profile"] if _is_one_of(item, items)]
    missing = set(items) - {str(item["id"]) for item in dropped}
    if missing:
        raise DataError(f"{folder}: user {user_id}: expected ids of items of this user, found {min(missing)!r}")
    dropped_texts = {text for item in dropped if (text := as_text(item[_text_field(spec)]).strip())}

    texts, queries = _history_texts(spec, before), _query_texts(spec, before)
    stays: dict[Path, dict[str, bool]] = {path: {} for path in paths}  # of each question, by id
    for path in paths:
        outputs = _outputs(path)
        for question in json_items(path, LIST):  # one by one: these may be gigabytes
            example_id = str(question["id"])
            output = outputs.get(example_id) if outputs is not None else None
            is_begun = outputs is not None and output is None  # by a run that was stopped
            is_about = _user(question) == user_id and _texts_asked_about(spec, question, output) & dropped_texts
            stays[path][example_id] = _user(question) != user_id or bool(items and not is_begun and not is_about)
            if stays[path][example_id]:
                left = [_without(question, user_id, items)]
                texts -= _history_texts(spec, left)
                queries -= _query_texts(spec, left)
    removed = _remove_vectors(encoder, texts, queries, cache)
    for copy in (cache / "data").glob(f"{spec.name}-*"):  # of any state the files were in; they are soon made again
        (copy / "done").unlink(missing_ok=True)  # first: half a copy must not look like a whole one
        shutil.rmtree(copy)
    for path in paths:  # outputs first: the questions tell a second run whose they are
        outputs = _outputs_path(path)
        if outputs.exists():
            content = read_json(outputs)
            golds = [gold for gold in content["golds"] if stays[path].get(str(gold["id"]), True)]
            write_text(outputs, json.dumps(content | {"golds": golds}, indent=1, ensure_ascii=False))
        questions = (question for question in json_items(path, LIST) if stays[path][str(question["id"])])
        _write_list(path, (_without(question, user_id, items) for question in questions))
    gone = sum(list(ids.values()).count(False) for ids in stays.values())
    return {"questions": gone, "texts": len(texts) + len(queries), "vectors": removed}


def forget_person(user: str, encoder: Encoder | Collection[Encoder]) -> dict[str, int]:
    """Remove one of the real people of `sources.chat`: every chat she took part in, since partners' items quote her.

    The package that the chats come from keeps them; what is made of it here from now on is made without her. It also
    tells a later call whose vectors to remove: by another encoder, or after a run that was stopped.

    Args:
        user: Her pseudonym.
        encoder: The encoder whose vectors are removed, or several. Whole inputs of `chat-who`, read with `full_query`,
            are not looked for: which replies stand side by side changes with everyone who is forgotten.

    Returns:
        What was removed: `{"questions", "texts", "vectors"}`; no questions where she was forgotten before.

    Raises:
        DataError: There is nobody of this name in the package's chats.
    """
    replies = chats_with(user)
    if not replies:
        raise DataError(f"the chats: expected a person called {user!r}: no chat here is theirs")
    before = _chat_questions(CHAT)
    names = cache_folder() / "chat" / FORGOTTEN
    write_text(names, json.dumps(sorted({*forgotten(), user})))
    after = _chat_questions(CHAT)
    # Not what was in the files: with each person who is forgotten, her chats move into splits or histories, or out.
    hers = [{"input": build_input(CHAT, message=r.message), "profile": [asdict(r)]} for r in replies]
    texts = _history_texts(CHAT, hers) - _history_texts(CHAT, after)
    queries = _query_texts(CHAT, hers) | {r.reply for r in replies}  # `chat-who` asks with a reply
    queries -= _query_texts(CHAT, after) | _query_texts(WHO, _chat_questions(WHO))
    removed = _remove_vectors(encoder, texts, queries, cache_folder())
    for copy in (cache_folder() / "data").glob(f"{CHAT.name}*-*"):
        shutil.rmtree(copy)
    left = chat_folder(CHAT.name).parent
    for old in names.parent.iterdir():
        if old.is_dir() and old != left:
            shutil.rmtree(old)
    was, stays = ({(_user(q), q["date"], q["input"]) for q in questions} for questions in (before, after))
    return {"questions": len(was - stays), "texts": len(texts) + len(queries), "vectors": removed}


def _chat_questions(task: Task) -> list[dict]:
    """The questions of all splits, of those who are not forgotten."""
    folder = chat_folder(task.name)
    return [question for split in SPLITS for question in read_json(folder / f"{split}_questions.json")]


def _remove_vectors(encoder: Encoder | Collection[Encoder], texts: set[str], queries: set[str], cache: Path) -> int:
    """Remove the vectors of texts and queries by one encoder or several; how many there were."""
    encoders = [encoder] if isinstance(encoder, Encoder) else encoder
    # A GPU and a CPU may compute in another precision each, and so have a folder each.
    alike = [replace(one, precision=precision) for one in encoders for precision in ("float32", "bfloat16")]
    return sum(
        remove(cache / "vectors" / one.key, text_keys(one, sorted(some), is_query))
        for one in alike
        for some, is_query in ((texts, False), (queries, True))
    )


def _without(question: dict, user_id: str, ids: Collection[str]) -> dict:
    """A question without the items of these ids, if it is the user's."""
    if _user(question) != user_id:
        return question
    return question | {"profile": [item for item in question["profile"] if not _is_one_of(item, ids)]}


def _user(question: dict) -> str:
    return str(question.get("user_id", question["id"]))


def _is_one_of(item: dict, ids: Collection[str]) -> bool:
    return "id" in item and str(item["id"]) in ids


def _text_field(task: Task) -> str:
    """The field of an item that a question can be about."""
    return task.held_out[0] if task.held_out else task.fields[0]


def _texts_asked_about(task: Task, question: dict, output: str | None) -> set[str]:
    """The texts a question is about: what stands in its slot, and its output where an item is all of one.

    They are compared as a whole: part of another text, or the same in other letters, is another text.
    """
    texts = {query_text(task, question["input"]).strip()}
    if output is not None and task.held_out is None and not task.labels:
        texts.add(output.strip())  # LaMP-7 asks with a paraphrase; the user's own text is the answer
    return texts


def _outputs(questions: Path) -> dict[str, str] | None:
    """The outputs that belong to a file of questions, by id; None where they are withheld."""
    path = _outputs_path(questions)
    return {str(gold["id"]): str(gold["output"]) for gold in read_json(path)["golds"]} if path.exists() else None


def _outputs_path(questions: Path) -> Path:
    return questions.with_name(questions.name.replace("_questions", "_outputs"))


def _history_texts(task: Task, questions: list[dict]) -> set[str]:
    """What the encoder may have read of their histories: with label and without."""
    items = (item for question in questions for item in clean_items(task, question["profile"], "profile"))
    return {history_text(task, item, label) for item in items for label in (True, False)}


def _query_texts(task: Task, questions: list[dict]) -> set[str]:
    """What it may have read as a question: the questions, and in training the items as questions."""
    inputs = {question["input"] for question in questions}
    if task.held_out:
        asked = {as_text(item[task.held_out[0]]) for question in questions for item in question["profile"]}
        inputs |= {build_input(task, **{task.query_slot: text}) for text in asked}
    return {query_text(task, text, full) for text in inputs for full in (True, False)}


def _write_list(path: Path, questions: Iterator[dict]) -> None:
    """Write a JSON list item by item; it may be made of what is in the file."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        start = "[\n"
        for question in questions:
            file.write(start + json.dumps(question, ensure_ascii=False))
            start = ",\n"
        file.write("\n]\n" if start == ",\n" else "[]\n")
