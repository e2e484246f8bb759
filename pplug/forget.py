"""Forgetting a user: questions and history leave the LaMP files, the working copies and the store of vectors.

What it does not undo: the weights of a plug that was trained with the user's texts. Train it anew.
"""

import json
import shutil
from pathlib import Path

from pplug.data import SPLITS, DataError, load, read_json
from pplug.encoders import Encoder, text_keys
from pplug.files import cache_folder, write_text
from pplug.tasks import history_text, query_text
from pplug.vectors import remove


def forget_user(folder: str | Path, task: str, user_id: str, encoder: Encoder, cache: str | Path | None = None) -> dict:
    """Remove a user's questions, outputs, history and vectors from disk.

    A text that another user of the folder also has stays: it is theirs too. The files are rewritten last, so a run
    that was stopped is simply started again. No other process should be writing to the store meanwhile.

    Args:
        folder: LaMP files, rewritten without the user.
        task: The task they are for.
        user_id: The user; where the files have no `user_id`, the id of a question.
        encoder: The encoder whose vectors are removed, of history items and of questions.
        cache: See `encoders.encode`.

    Returns:
        What was removed: `{"questions", "texts", "vectors"}`.

    Raises:
        DataError: No question of the folder is this user's.
    """
    folder, cache = Path(folder), Path(cache) if cache else cache_folder()
    data = load(folder, task, cache)
    asked = [example for split in data.splits.values() for example in split]
    own = [example for example in asked if example["user_id"] == user_id]
    if not own:
        raise DataError(f"{folder}: expected a user called {user_id!r}: no question here is theirs")
    others = [example for example in asked if example["user_id"] != user_id]
    gone, removed = 0, 0
    for texts_of, is_query in ((_history_texts, False), (_query_texts, True)):
        only_theirs = sorted(texts_of(data, own) - texts_of(data, others))
        gone += len(only_theirs)
        removed += remove(cache / "vectors" / encoder.key, text_keys(encoder, only_theirs, is_query))
    for copy in (cache / "data").glob(f"{data.task.name}-{data.hash[:16]}-*"):
        shutil.rmtree(copy)
    ids = {example["id"] for example in own}
    for split in SPLITS:
        for kind in ("outputs", "questions"):  # a question without output is an error, the reverse would be one too
            path = folder / f"{split}_{kind}.json"
            if path.exists():
                _write_without(path, ids, user_id)
    return {"questions": len(own), "texts": gone, "vectors": removed}


def _history_texts(data, examples: list[dict]) -> set[str]:
    """As the encoder reads them, with label and without."""
    rows = {row for example in examples for row in example["profile"]}
    return {history_text(data.task, data.items[row], label) for row in rows for label in (True, False)}


def _query_texts(data, examples: list[dict]) -> set[str]:
    return {query_text(data.task, example["input"], full) for example in examples for full in (True, False)}


def _write_without(path: Path, ids: set[str], user_id: str) -> None:
    """Write a file of questions or outputs without these; `factors.json` of simulated users is left alone."""
    content = read_json(path)
    if isinstance(content, dict):
        content["golds"] = [gold for gold in content["golds"] if str(gold["id"]) not in ids]
    else:
        content = [question for question in content if str(question["id"]) not in ids]
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False))
