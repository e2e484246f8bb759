"""LaMP's files, `{split}_questions.json` and `{split}_outputs.json`: read and validated."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from pplug.base import DataError, is_value, json_items, read_json, shown, time_order
from pplug.data.items import as_text, clean_items, describe_value
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
    if kind == "outputs":
        _read_outputs(path, task)
        return
    for _ in _read_questions(path, task):
        pass


def read_split(folder: Path, split: str, task: Task) -> Iterator[dict]:
    """Read and validate a split, one example after the other: LaMP-3's files are larger than many a memory.

    Yields:
        `id`, `user_id`, `input`, `output` (None where the outputs are withheld), `date` (empty where there is none) and
        `items`, the user's profile with the task's fields as text, oldest first; undated items keep the file's order.

    Raises:
        DataError: The files are not what LaMP's format promises. Examples before the fault have been yielded by then.
    """
    path = folder / f"{split}_questions.json"
    questions = _read_questions(path, task)
    first = list(islice(questions, 1))  # before the outputs: of another task's files, the questions say more
    outputs = _read_outputs(folder / f"{split}_outputs.json", task)
    without, left = set(), set(outputs or ())
    for example in chain(first, questions):
        if outputs is not None and example["id"] not in outputs:
            without.add(example["id"])
        left.discard(example["id"])
        yield example | {"output": outputs.get(example["id"]) if outputs is not None else None}
    if without or left:
        raise DataError(
            f"{folder / f'{split}_outputs.json'}: expected one gold for each question of {path.name}: "
            f"{len(without)} questions without gold{_some(without)}, {len(left)} golds without question{_some(left)}"
        )


def _read_questions(path: Path, task: Task) -> Iterator[dict]:
    """Read and validate one file of questions."""
    seen = set()
    for question in json_items(path, "a list of questions"):
        _expect(isinstance(question, dict) and "id" in question, path, None, 'questions with an "id"')
        told = f'text or a number as "id", found {describe_value(question["id"])}'
        _expect(is_value(question["id"]), path, None, told)
        example_id = str(question["id"])
        _expect(example_id not in seen, path, example_id, "each id once, it is there twice")
        seen.add(example_id)
        yield _example(path, task, question)


def _example(path: Path, task: Task, question: dict) -> dict:
    """Validate one question."""
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
    items = clean_items(task, profile, f"{path}: example {shown(example_id)}")
    order = _order(path, example_id, [_date(path, example_id, item) for item in profile])
    user_id = question.get("user_id", example_id)
    _expect(is_value(user_id), path, example_id, f'text or a number as "user_id", found {describe_value(user_id)}')
    date = _date(path, example_id, question)
    _order(path, example_id, [date])
    ordered = [items[position] for position in order]
    return {"id": example_id, "user_id": str(user_id), "input": text, "date": date, "items": ordered}


def _date(path: Path, example_id: str, dated: dict) -> str:
    """The date of an item or a question, empty where it has none."""
    date = dated.get("date")
    is_right = date is None or is_value(date)
    _expect(is_right, path, example_id, f'text or a number as "date", found {describe_value(date)}')
    return as_text(date)


def _order(path: Path, example_id: str, dates: list[str]) -> list[int]:
    try:
        return time_order(dates)
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
    _expect(named == task.name.replace("_", "-"), path, None, f"outputs of {task.name}, it says {shown(named)}")
    outputs: dict[str, str] = {}
    for gold in content["golds"]:
        _expect(isinstance(gold, dict) and {"id", "output"} <= set(gold), path, None, 'golds with "id" and "output"')
        _expect(is_value(gold["id"]), path, None, f'text or a number as "id", found {describe_value(gold["id"])}')
        example_id, output = str(gold["id"]), str(gold["output"])
        told = f"text or a number as output, found {describe_value(gold['output'])}"
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


def _some(ids: set[str]) -> str:
    return f" ({', '.join(map(shown, sorted(ids)[:3]))}{', ...' if len(ids) > 3 else ''})" if ids else ""
