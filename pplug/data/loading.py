"""LaMP's files → examples and one deduplicated history table.

Simulated, real and own data all come in through `load`. Each distinct history item is kept once, in `Data.history`;
an example's profile is a list of row numbers in it, oldest first.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pplug.base.errors import DataError
from pplug.base.files import cache_folder, file_hash, remove_left, replacing
from pplug.base.reading import read_json, shown
from pplug.data.lamp_files import SPLITS, read_folder
from pplug.data.tasks import TASKS, Task, build_input, get_task, history_text

if TYPE_CHECKING:
    from datasets import Dataset

FORMAT = 2  # of the Arrow copies; raise it when their columns change, or what is refused


@dataclass(frozen=True)
class Data:
    """One task's data.

    Attributes:
        task: The task.
        history: One row for each distinct history item; the columns are the task's profile fields.
        splits: Split → examples with the columns `id`, `user_id`, `input`, `output` (None where withheld), `date`
            (empty where the split has none) and `profile`, the rows of the user's items, oldest first.
        hash: SHA-256 of the files, for run records.
        factors: The true personas of simulated users, by user id; None for real users.
    """

    task: Task
    history: "Dataset"
    splits: dict[str, "Dataset"]
    hash: str
    factors: dict[str, dict] | None = None

    @cached_property
    def items(self) -> list[dict]:
        """All history items, by row number."""
        return self.history.to_list()

    def history_texts(self, with_label: bool = True) -> list[str]:
        """The text of each history item that the history encoder reads, by row number."""
        return [history_text(self.task, item, with_label) for item in self.items]


def load(folder: str | Path, task: str | Task, cache: str | Path | None = None) -> Data:
    """Load a folder of LaMP files, time-based or user-based.

    Args:
        folder: Holds `{split}_questions.json` and, where not withheld, `{split}_outputs.json`; any of the three splits
            may be absent.
        task: The task the files are for: one of LaMP's, e.g. `"LaMP-4"`, a `Task`, or the name in the folder's
            `task.json`.
        cache: Where the memory-mapped Arrow copies are kept; `files.cache_folder()` if None.

    Returns:
        The data. Empty histories are legal. Items are sorted by date where they have one; otherwise they keep the
        order of the file.

    Raises:
        DataError: If the files are not what LaMP's format promises.
        ValueError: If the task is unknown.
    """
    folder = Path(folder)
    spec = get_task(task, folder)
    files = [folder / f"{split}_{kind}.json" for split in SPLITS for kind in ("questions", "outputs")]
    files = [path for path in files if path.exists()]
    if not any(path.name.endswith("_questions.json") for path in files):
        raise DataError(
            f"{folder}: no LaMP files here: expected train_questions.json, dev_questions.json or test_questions.json"
        )
    digest = file_hash(*files)
    if spec != TASKS.get(spec.name):  # a task of one's own is part of the data: it says which columns there are
        digest = hashlib.sha256(json.dumps([digest, spec.to_json()]).encode()).hexdigest()
    present = "-".join(path.name.split("_")[0] for path in files if "questions" in path.name)  # a hash knows no names
    copy = (Path(cache) if cache else cache_folder()) / "data" / f"{spec.name}-{digest[:16]}-{present}-{FORMAT}"
    remove_left(copy.parent)
    if not (copy / "done").exists():
        _write_copy(copy, spec, *read_folder(folder, spec))
    from datasets import load_from_disk

    splits = {split: load_from_disk(str(copy / split)) for split in SPLITS if (copy / split).exists()}
    factors = None
    if (folder / "factors.json").exists():
        factors = _read_factors(
            folder / "factors.json", {user for split in splits.values() for user in split["user_id"]}
        )
    return Data(spec, load_from_disk(str(copy / "history")), splits, digest, factors)


def _read_factors(path: Path, needed: set[str]) -> dict[str, dict]:
    content = read_json(path)
    users = content.get("users") if isinstance(content, dict) else None
    if not isinstance(users, dict):
        raise DataError(f'{path}: expected an object with the true personas of the users as "users"')
    for user in sorted(needed - users.keys()):
        raise DataError(f"{path}: expected the true persona of user {shown(user)}: delete the file if users are real")
    for user, own in users.items():
        values, persona = (own.get("values"), own.get("persona")) if isinstance(own, dict) else (None, None)
        if not isinstance(values, dict) or not isinstance(persona, str):
            raise DataError(f'{path}: user {shown(user)}: expected an object of "values" and a text as "persona"')
    return users


def held_out_examples(data: Data) -> list[dict]:
    """Turn each user's training history into more training examples: an item is the question, its label the answer.

    The history of such an example holds only the items that came before the item: nothing leaks from its future.
    LaMP-1 and LaMP-7 have none, since their items hold no question.

    Returns:
        Examples with the columns of `Data.splits`; users without items give none. Items without any earlier item are
        left out: they would only teach the plug what to do without history, which questions already do.
    """
    if data.task.held_out is None:
        return []
    asked, answer = data.task.held_out
    longest: dict[str, list[int]] = {}
    for example in data.splits["train"].select_columns(["user_id", "profile"]):
        if len(example["profile"]) > len(longest.get(example["user_id"], [])):
            longest[example["user_id"]] = example["profile"]
    examples = []
    for user_id, rows in longest.items():
        for position in range(1, len(rows)):
            item = data.items[rows[position]]
            text = build_input(data.task, **{data.task.query_slot: item[asked]})
            example = {"id": f"{user_id}/{position}", "user_id": user_id, "input": text, "output": item[answer]}
            # The same text may stand twice in a history; the earlier copy would give the answer away.
            before = [row for row in rows[:position] if row != rows[position]]
            if before:
                examples.append(example | {"date": "", "profile": before})
    return examples


def _write_copy(copy: Path, task: Task, history: list[dict], splits: dict[str, list[dict]]) -> None:
    """Write the Arrow copies under a temporary name, then rename: an interrupted run leaves nothing half-written."""
    from datasets import Dataset, Features, List, Value

    text = Value("string")
    columns = dict.fromkeys(("id", "user_id", "input", "output", "date"), text) | {"profile": List(Value("int32"))}

    def save(rows: list[dict], features: dict, path: Path) -> None:
        table = {column: [row[column] for row in rows] for column in features}  # by column: there may be no row
        shards = None if rows else 1  # of an empty table it would write none, and could not read that
        Dataset.from_dict(table, features=Features(features)).save_to_disk(str(path), num_shards=shards)

    # In this order: a copy that another process finishes in between has its mark from the first moment, and stays.
    if copy.exists() and not (copy / "done").exists():
        shutil.rmtree(copy, ignore_errors=True)
    try:
        with replacing(copy) as temporary, no_progress_bars():
            save(history, dict.fromkeys(task.fields, text), temporary / "history")
            for split, examples in splits.items():
                save(examples, columns, temporary / split)
            (temporary / "done").touch()
    except OSError:
        if not (copy / "done").exists():  # else another process was faster: its copy is this one
            raise


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Silence the bars `datasets` draws while it writes a table: they are noise in a notebook."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_off = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not were_off:
            enable_progress_bars()
