"""LaMP's files → examples and one deduplicated history table, validated.

Simulated, real and own data all come in through `load`. Each distinct history item is kept once, in `Data.history`;
an example's profile is a list of row numbers in it, oldest first.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pplug.files import cache_folder, file_hash, remove_left, replacing
from pplug.tasks import Task, build_input, get_task, history_text, parse_input

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = ("train", "dev", "test")
FORMAT = 1  # of the Arrow copies; raise it when their columns change


class DataError(ValueError):
    """A file is not what LaMP's format promises. The message names file, example and what was expected."""


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


def load(folder: str | Path, task: str, cache: str | Path | None = None) -> Data:
    """Load a folder of LaMP files, time-based or user-based.

    Args:
        folder: Holds `{split}_questions.json` and, where not withheld, `{split}_outputs.json`; any of the three splits
            may be absent.
        task: The task the files are for, e.g. `"LaMP-4"`.
        cache: Where the memory-mapped Arrow copies are kept; `files.cache_folder()` if None.

    Returns:
        The data. Empty histories are legal. Items are sorted by date where they have one; otherwise they keep the
        order of the file.

    Raises:
        DataError: If the files are not what LaMP's format promises.
        ValueError: If the task is unknown.
    """
    spec = get_task(task)
    folder = Path(folder)
    files = [folder / f"{split}_{kind}.json" for split in SPLITS for kind in ("questions", "outputs")]
    files = [path for path in files if path.exists()]
    if not any(path.name.endswith("_questions.json") for path in files):
        raise DataError(
            f"{folder}: no LaMP files here: expected train_questions.json, dev_questions.json or test_questions.json"
        )
    digest = file_hash(*files)
    present = "-".join(path.name.split("_")[0] for path in files if "questions" in path.name)  # a hash knows no names
    copy = (Path(cache) if cache else cache_folder()) / "data" / f"{spec.name}-{digest[:16]}-{present}-{FORMAT}"
    remove_left(copy.parent)
    if not (copy / "done").exists():
        _write_copy(copy, spec, *_read(folder, spec))
    from datasets import load_from_disk

    splits = {split: load_from_disk(str(copy / split)) for split in SPLITS if (copy / split).exists()}
    factors = None
    if (folder / "factors.json").exists():
        factors = read_json(folder / "factors.json")["users"]
    return Data(spec, load_from_disk(str(copy / "history")), splits, digest, factors)


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


def read_json(path: Path):
    """Read a JSON file, saying what is wrong with it if it is not one."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.lstrip()[:1] == "<":
        raise DataError(f"{path}: expected JSON, found an HTML page: a wrong download address answers with one")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: expected JSON, but it is malformed or truncated: {error}") from error


def check_file(path: Path, task: Task, kind: str) -> None:
    """Check one of LaMP's files alone.

    Args:
        path: The file, whatever its name.
        task: The task it is for.
        kind: `questions` or `outputs`.

    Raises:
        DataError: It is not what LaMP's format promises for this task.
    """
    _read_questions(path, task, {}) if kind == "questions" else _read_outputs(path, task)


def _read(folder: Path, task: Task) -> tuple[list[dict], dict[str, list[dict]]]:
    """Read and validate all splits; returns the history table and each split's examples."""
    table: dict[tuple, int] = {}
    splits = {}
    for split in SPLITS:
        path = folder / f"{split}_questions.json"
        if not path.exists():
            continue
        examples = _read_questions(path, task, table)
        seen = {example["id"] for example in examples}
        outputs = _read_outputs(folder / f"{split}_outputs.json", task)
        for example in examples:
            example["output"] = outputs.get(example["id"]) if outputs is not None else None
        if outputs is not None and seen != set(outputs):
            raise DataError(
                f"{folder / f'{split}_outputs.json'}: expected one gold for each question of {path.name}: "
                f"{len(seen - set(outputs))} questions without gold{_some(seen - set(outputs))}, "
                f"{len(set(outputs) - seen)} golds without question{_some(set(outputs) - seen)}"
            )
        splits[split] = examples
    return [dict(zip(task.fields, key, strict=True)) for key in table], splits


def _read_questions(path: Path, task: Task, table: dict[tuple, int]) -> list[dict]:
    """Read and validate one file of questions; its items go into the history table."""
    questions = read_json(path)
    _expect(isinstance(questions, list), path, None, "a list of questions")
    examples, seen = [], set()
    for question in questions:
        _expect(isinstance(question, dict) and "id" in question, path, None, 'questions with an "id"')
        example_id = str(question["id"])
        _expect(example_id not in seen, path, example_id, "each id once, it is there twice")
        seen.add(example_id)
        examples.append(_example(path, task, question, table))
    return examples


def _example(path: Path, task: Task, question: dict, table: dict[tuple, int]) -> dict:
    """Validate one question and put its items into the history table."""
    example_id = str(question["id"])
    for field in ("input", "profile"):
        _expect(field in question, path, example_id, f'the field "{field}"')
    text, profile = question["input"], question["profile"]
    _expect(isinstance(text, str), path, example_id, 'text in "input"')
    _expect(isinstance(profile, list), path, example_id, 'a list in "profile"')
    is_old_news = any(isinstance(item, dict) and "category" in item for item in profile)
    if task.name == "LaMP-2" and (is_old_news or text.startswith("Which category does this article")):
        raise DataError(
            f"{path}: example {example_id}: expected movie tagging, found the old LaMP-2 (news categorisation), which "
            "the plain LaMP_2/ download path serves; movie tagging is under LaMP_2/new/"
        )
    try:
        parse_input(task, text)
    except ValueError as error:
        raise DataError(f"{path}: example {example_id}: {error}") from error
    for number, item in enumerate(profile):
        _expect(isinstance(item, dict), path, example_id, f"an object as profile item {number}")
        for field in task.fields:
            _expect(field in item, path, example_id, f'the field "{field}" in profile item {number}')
    items = sorted(profile, key=_when)  # stable: undated items keep their order
    rows = [table.setdefault(tuple(_text(item[field]) for field in task.fields), len(table)) for item in items]
    user_id = str(question.get("user_id", example_id))
    return {"id": example_id, "user_id": user_id, "input": text, "date": str(question.get("date", "")), "profile": rows}


def _text(value) -> str:
    """A field as text; JSON's `null` is no text, not the word None."""
    return "" if value is None else str(value)


def _when(item: dict) -> list[int]:
    """The numbers of an item's date, year first; without leading zeros they would sort wrongly as text."""
    return [int(number) for number in re.findall(r"\d+", str(item.get("date", "")))]


def _read_outputs(path: Path, task: Task) -> dict[str, str] | None:
    """Read `{split}_outputs.json` as id → output; None if the file is not there (LaMP withholds the test outputs)."""
    if not path.exists():
        return None
    content = read_json(path)
    is_right = isinstance(content, dict) and isinstance(content.get("golds"), list)
    _expect(is_right, path, None, 'an object with "task" and a list of "golds"')
    named = str(content.get("task", task.name)).replace("_", "-")
    _expect(named == task.name, path, None, f"outputs of {task.name}, it says {named}")
    outputs: dict[str, str] = {}
    for gold in content["golds"]:
        _expect(isinstance(gold, dict) and {"id", "output"} <= set(gold), path, None, 'golds with "id" and "output"')
        example_id, output = str(gold["id"]), str(gold["output"])
        _expect(example_id not in outputs, path, example_id, "each id once, it is there twice")
        legal = not task.labels or output in task.labels
        _expect(legal, path, example_id, f"one of the labels {', '.join(task.labels)} as output, found {output!r}")
        outputs[example_id] = output
    return outputs


def _expect(condition: bool, path: Path, example_id: str | None, what: str) -> None:
    if not condition:
        raise DataError(f"{path}: {f'example {example_id}: ' if example_id is not None else ''}expected {what}")


def _some(ids: set[str]) -> str:
    return f" ({', '.join(sorted(ids)[:3])}{', ...' if len(ids) > 3 else ''})" if ids else ""


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
