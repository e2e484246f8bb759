"""LaMP's files → examples and one deduplicated history table.

Simulated, real and own data all come in through `load`. Each distinct history item is kept once, in `Data.history`;
an example's profile is a list of row numbers in it, oldest first.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pplug.base import DataError, cache_folder, file_hash, read_json, remove_left, replacing, shown
from pplug.data.lamp_files import SPLITS, read_split
from pplug.data.tasks import TASKS, Task, build_input, get_task, history_text

if TYPE_CHECKING:
    from datasets import Dataset
    from datasets.arrow_writer import ArrowWriter

FORMAT = 3  # of the Arrow copies; raise it when their columns change, or what is refused
BATCH = 1000  # rows that are in memory before they are written
log = logging.getLogger(__name__)


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

    def each_history_text(self, with_label: bool = True) -> Iterator[str]:
        """The same one after the other, for a table that need not fit into memory."""
        return (history_text(self.task, item, with_label) for item in self.history)


def load(folder: str | Path, task: Task | str | None = None, cache: str | Path | None = None) -> Data:
    """Load a folder of LaMP files, time-based or user-based.

    Args:
        folder: Holds `{split}_questions.json` and, where not withheld, `{split}_outputs.json`; any of the three splits
            may be absent.
        task: The task the files are for: one of LaMP's, e.g. `"LaMP-4"`, a `Task`, or the name in the folder's
            `task.json`; what that file says if None.
        cache: Where the memory-mapped Arrow copies are kept; `files.cache_folder()` if None.

    Returns:
        The data. Empty histories are legal. Items are sorted by date where they have one; otherwise they keep the
        order of the file.

    Raises:
        DataError: If the files are not what LaMP's format promises.
        InputError: If the task is unknown.
    """
    folder = Path(folder)
    spec = get_task(task, folder)
    files = [folder / f"{split}_{kind}.json" for split in SPLITS for kind in ("questions", "outputs")]
    files = [path for path in files if path.exists()]
    splits = [split for split in SPLITS if folder / f"{split}_questions.json" in files]
    if not splits:
        raise DataError(
            f"{folder}: no LaMP files here: expected train_questions.json, dev_questions.json or test_questions.json"
        )
    digest = file_hash(*files)
    if spec != TASKS.get(spec.name):  # a task of one's own is part of the data: it says which columns there are
        digest = hashlib.sha256(json.dumps([digest, spec.to_json()]).encode()).hexdigest()
    name = f"{spec.name}-{digest[:16]}-{'-'.join(splits)}-{FORMAT}"  # a hash knows no names
    copy = (Path(cache) if cache else cache_folder()) / "data" / name
    remove_left(copy.parent)
    if not (copy / "done").exists():
        _write_copy(copy, spec, folder, splits)
    from datasets import Dataset

    tables = {table: Dataset.from_file(str(copy / f"{table}.arrow")) for table in ("history", *splits)}
    factors = None
    if (folder / "factors.json").exists():
        users = {user for split in splits for user in tables[split]["user_id"]}
        factors = _read_factors(folder / "factors.json", users)
    return Data(spec, tables.pop("history"), tables, digest, factors)


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
            if data.task.occasion:
                before = [r for r in before if data.items[r][data.task.occasion] != item[data.task.occasion]]
            if before:
                examples.append(example | {"date": "", "profile": before})
    return examples


def examples_with_output(data: Data, split: str) -> list[dict]:
    """The examples of a split that a loss or a score can be computed on.

    Returns:
        The split's examples; none where it is absent or empty, or, which is logged, where its outputs are withheld.
    """
    examples = data.splits[split].to_list() if split in data.splits else []
    known = [example for example in examples if example["output"] is not None]
    if len(known) < len(examples):
        told = "%s: %s of %s %s questions have no output here and are left out where a loss or a score is computed"
        log.warning(told, data.task.name, f"{len(examples) - len(known):,}", f"{len(examples):,}", split)
    return known


def _write_copy(copy: Path, task: Task, folder: Path, splits: list[str]) -> None:
    """Write the Arrow copies, example by example: in memory is a hash of each distinct item, and no more.

    They are written under a temporary name, then renamed: an interrupted run leaves nothing half-written.
    """
    from datasets import List, Value

    text = Value("large_string")  # a column of `string` ends at 2 GiB; LaMP-3's histories are larger
    columns = dict.fromkeys(("id", "user_id", "input", "output", "date"), text) | {"profile": List(Value("int32"))}
    # In this order: a copy that another process finishes in between has its mark from the first moment, and stays.
    if copy.exists() and not (copy / "done").exists():
        shutil.rmtree(copy, ignore_errors=True)
    rows: dict[bytes, int] = {}
    try:
        with replacing(copy) as temporary:
            temporary.mkdir()
            with _table(temporary / "history.arrow", dict.fromkeys(task.fields, text)) as history:
                for split in splits:
                    with _table(temporary / f"{split}.arrow", columns) as examples:
                        for example in read_split(folder, split, task):
                            items = example.pop("items")
                            keys = [_item_key(item) for item in items]
                            for key, item in zip(keys, items, strict=True):
                                if key not in rows:
                                    rows[key] = len(rows)
                                    history.write(item)
                            examples.write(example | {"profile": [rows[key] for key in keys]})
            (temporary / "done").touch()
    except OSError:
        if not (copy / "done").exists():  # else another process was faster: its copy is this one
            raise


def _item_key(item: dict) -> bytes:
    """What tells one item from another, in few bytes: two different ones alike would take a hash like no other."""
    return hashlib.sha256(json.dumps(list(item.values())).encode()).digest()[:16]


@contextmanager
def _table(path: Path, columns: dict) -> Iterator["ArrowWriter"]:
    """A file of one Arrow table, written row by row and whole at the end."""
    from datasets import Features
    from datasets.arrow_writer import ArrowWriter

    writer = ArrowWriter(features=Features(columns), path=str(path), writer_batch_size=BATCH)
    yield writer
    writer.finalize()
