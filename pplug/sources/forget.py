"""Forgetting a user, or single items of a history: they leave the LaMP files, the working copies and the store.

What it does not undo: the weights of plugs that were trained with the texts (train them anew), and files that were made
of them, such as executed notebooks and predictions.
"""

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from pplug.base.errors import DataError
from pplug.base.files import cache_folder, write_text
from pplug.base.reading import read_json
from pplug.data.lamp_files import SPLITS, as_text, check_file
from pplug.data.tasks import Task, build_input, get_task, history_text, query_text
from pplug.method.encoders import Encoder, text_keys
from pplug.method.store import remove


def forget(
    folder: str | Path,
    task: str,
    user_id: str,
    encoder: Encoder,
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
        encoder: The encoder whose vectors are removed, of history items and of questions.
        items: Ids of history items. If any, these alone leave the user's profiles, and with them the user's questions
            about the same text; all that is the user's if none.
        cache: See `encoders.encode`.

    Returns:
        What was removed: `{"questions", "texts", "vectors"}`.

    Raises:
        DataError: No question of the folder is this user's, or no item has one of the ids.
    """
    folder, cache, spec = Path(folder), Path(cache) if cache else cache_folder(), get_task(task)
    paths = [path for split in SPLITS if (path := folder / f"{split}_questions.json").exists()]
    for path in paths:  # not by `load`: a run that was stopped may have left questions without their outputs
        check_file(path, spec, "questions")
    before = {path: read_json(path) for path in paths}
    asked = [question for questions in before.values() for question in questions]
    own = [question for question in asked if _user(question) == user_id]
    if not own:
        raise DataError(f"{folder}: expected a user called {user_id!r}: no question here is theirs")
    dropped = [item for question in own for item in question["profile"] if str(item.get("id")) in items]
    missing = set(items) - {str(item["id"]) for item in dropped}
    if missing:
        raise DataError(f"{folder}: user {user_id}: expected ids of items of this user, found {min(missing)!r}")
    said = {max((as_text(item[field]) for field in spec.fields), key=len) for item in dropped}

    def left(question: dict) -> dict | None:
        if _user(question) != user_id:
            return question
        if not items or any(text in question["input"] for text in said):
            return None
        return question | {"profile": [item for item in question["profile"] if str(item.get("id")) not in items]}

    after = {path: [new for old in questions if (new := left(old))] for path, questions in before.items()}
    stays = [question for questions in after.values() for question in questions]
    gone, removed = 0, 0
    for texts_of, is_query in ((_history_texts, False), (_query_texts, True)):
        texts = sorted(texts_of(spec, own) - texts_of(spec, stays))
        gone += len(texts)
        removed += remove(cache / "vectors" / encoder.key, text_keys(encoder, texts, is_query))
    for copy in (cache / "data").glob(
        f"{spec.name}-*"
    ):  # of any state the files were ever in; they are soon made again
        (copy / "done").unlink(missing_ok=True)  # first: half a copy must not look like a whole one
        shutil.rmtree(copy)
    for path, questions in after.items():  # outputs first: the questions tell a second run whose they are
        ids = {str(question["id"]) for question in before[path]} - {str(question["id"]) for question in questions}
        outputs = path.with_name(path.name.replace("_questions", "_outputs"))
        if outputs.exists():
            content = read_json(outputs)
            _write(outputs, content | {"golds": [gold for gold in content["golds"] if str(gold["id"]) not in ids]})
        _write(path, questions)
    return {"questions": len(asked) - len(stays), "texts": gone, "vectors": removed}


def _user(question: dict) -> str:
    return str(question.get("user_id", question["id"]))


def _history_texts(task: Task, questions: list[dict]) -> set[str]:
    """What the encoder may have read of their histories: with label and without."""
    items = ({field: as_text(item[field]) for field in task.fields} for q in questions for item in q["profile"])
    return {history_text(task, item, label) for item in items for label in (True, False)}


def _query_texts(task: Task, questions: list[dict]) -> set[str]:
    """What it may have read as a question: the questions, and in training the items as questions."""
    inputs = {question["input"] for question in questions}
    if task.held_out:
        asked = {as_text(item[task.held_out[0]]) for question in questions for item in question["profile"]}
        inputs |= {build_input(task, **{task.query_slot: text}) for text in asked}
    return {query_text(task, text, full) for text in inputs for full in (True, False)}


def _write(path: Path, content) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False))
