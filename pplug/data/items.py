"""History items as anyone may give them → a task's fields as text: one rule for files, served users and training."""

from collections.abc import Iterable

from pplug.base import DataError, is_value, shown
from pplug.data.tasks import Task


def clean_items(task: Task, items: Iterable[dict], where: str) -> list[dict]:
    """Check history items and keep the task's fields, as text.

    Args:
        task: The task whose fields an item must have.
        items: In any order, which is kept. A field is text or a number; JSON's `null` is no text, not the word None.
        where: What an error begins with, such as a file and an example, or `"history"`.

    Returns:
        New items with exactly the task's fields.

    Raises:
        DataError: An item lacks a field, or holds something else in it; the message names item and field.
    """
    if isinstance(items, str | dict) or not isinstance(items, Iterable):
        raise DataError(f"{where}: expected a list of items, found {describe_value(items)}")
    return [_clean(task, item, number, where) for number, item in enumerate(items)]


def _clean(task: Task, item: dict, number: int, where: str) -> dict:
    if not isinstance(item, dict):
        raise DataError(f"{where}: expected an object as profile item {number}")
    for field in task.fields:
        if field not in item:
            raise DataError(f'{where}: expected the field "{field}" in profile item {number}')
        if item[field] is not None and not is_value(item[field]):
            raise DataError(f'{where}: expected text or a number in the field "{field}" of profile item {number}')
    return {field: as_text(item[field]) for field in task.fields}


def as_text(value) -> str:
    """A field as text; JSON's `null` is no text, not the word None."""
    return "" if value is None else str(value)


def describe_value(value) -> str:
    """A wrong value as an error shows it."""
    return shown(value) if isinstance(value, str) else f"{type(value).__name__} {shown(repr(value))}"
