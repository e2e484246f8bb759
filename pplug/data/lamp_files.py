"""LaMP's files, `{split}_questions.json` and `{split}_outputs.json`: read and validated."""

from pathlib import Path

from pplug.base.errors import DataError
from pplug.base.reading import date_numbers, is_value, read_json, shown
from pplug.data.tasks import Task, parse_input

SPLITS = ("train", "dev", "test")


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


def read_folder(folder: Path, task: Task) -> tuple[list[dict], dict[str, list[dict]]]:
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
        _expect(is_value(question["id"]), path, None, f'text or a number as "id", found {_found(question["id"])}')
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
            f"{path}: example {shown(example_id)}: expected movie tagging, found the old LaMP-2 (news "
            "categorisation), which the plain LaMP_2/ download path serves; movie tagging is under LaMP_2/new/"
        )
    try:
        parse_input(task, text)
    except ValueError as error:
        raise DataError(f"{path}: example {shown(example_id)}: {error}") from error
    for number, item in enumerate(profile):
        _expect(isinstance(item, dict), path, example_id, f"an object as profile item {number}")
        for field in task.fields:
            _expect(field in item, path, example_id, f'the field "{field}" in profile item {number}')
            is_text = item[field] is None or is_value(item[field])
            _expect(is_text, path, example_id, f'text or a number in the field "{field}" of profile item {number}')
    dates = [_when(path, example_id, item) for item in profile]
    items = [profile[row] for row in sorted(range(len(profile)), key=dates.__getitem__)]  # undated: in the file's order
    rows = [table.setdefault(tuple(as_text(item[field]) for field in task.fields), len(table)) for item in items]
    user_id = question.get("user_id", example_id)
    _expect(is_value(user_id), path, example_id, f'text or a number as "user_id", found {_found(user_id)}')
    date = as_text(question.get("date"))
    _when(path, example_id, question)
    return {"id": example_id, "user_id": str(user_id), "input": text, "date": date, "profile": rows}


def as_text(value) -> str:
    """A field as text; JSON's `null` is no text, not the word None."""
    return "" if value is None else str(value)


def _when(path: Path, example_id: str, item: dict) -> list[int]:
    """The numbers of an item's date, year first."""
    date = item.get("date")
    _expect(date is None or is_value(date), path, example_id, f'text or a number as "date", found {_found(date)}')
    try:
        return date_numbers(as_text(date))
    except DataError as error:
        raise DataError(f"{path}: example {shown(example_id)}: {error}") from error


def _read_outputs(path: Path, task: Task) -> dict[str, str] | None:
    """Read `{split}_outputs.json` as id → output; None if the file is not there (LaMP withholds the test outputs)."""
    if not path.exists():
        return None
    content = read_json(path)
    is_right = isinstance(content, dict) and isinstance(content.get("golds"), list)
    _expect(is_right, path, None, 'an object with "task" and a list of "golds"')
    named = str(content.get("task", task.name)).replace("_", "-")
    _expect(named == task.name, path, None, f"outputs of {task.name}, it says {shown(named)}")
    outputs: dict[str, str] = {}
    for gold in content["golds"]:
        _expect(isinstance(gold, dict) and {"id", "output"} <= set(gold), path, None, 'golds with "id" and "output"')
        _expect(is_value(gold["id"]), path, None, f'text or a number as "id", found {_found(gold["id"])}')
        example_id, output = str(gold["id"]), str(gold["output"])
        told = f"text or a number as output, found {_found(gold['output'])}"
        _expect(is_value(gold["output"]), path, example_id, told)
        _expect(example_id not in outputs, path, example_id, "each id once, it is there twice")
        legal = not task.labels or output in task.labels
        _expect(
            legal, path, example_id, f"one of the labels {', '.join(task.labels)} as output, found {shown(output)!r}"
        )
        outputs[example_id] = output
    return outputs


def _expect(condition: bool, path: Path, example_id: str | None, what: str) -> None:
    if not condition:
        raise DataError(f"{path}: {f'example {shown(example_id)}: ' if example_id is not None else ''}expected {what}")


def _found(value) -> str:
    """A wrong value as an error shows it."""
    return shown(value) if isinstance(value, str) else f"{type(value).__name__} {shown(repr(value))}"


def _some(ids: set[str]) -> str:
    return f" ({', '.join(map(shown, sorted(ids)[:3]))}{', ...' if len(ids) > 3 else ''})" if ids else ""
