"""History items as anyone hands them in → as the loader keeps them: the task's fields, each as text."""

from collections.abc import Iterable

from pplug.base.errors import InputError
from pplug.base.reading import is_value, shown
from pplug.data.lamp_files import as_text
from pplug.data.tasks import Task


def clean_items(task: Task, items: Iterable[dict], where: str) -> list[dict[str, str]]:
    """Keep the task's fields of each item, as text.

    Args:
        task: The task.
        items: Items, oldest first; what they hold beside the task's fields is left out.
        where: What an error begins with.

    Returns:
        The items in the same order; JSON's null is an empty text.

    Raises:
        InputError: They are no items of this task; the message names the item and the field.
    """
    if isinstance(items, str | dict) or not isinstance(items, Iterable):
        raise InputError(f"{where}: expected a list of items, found {type(items).__name__}")
    cleaned = []
    for number, item in enumerate(items):
        fields = ", ".join(task.fields)
        if not isinstance(item, dict):
            raise InputError(f"{where}: item {number}: expected an object with the fields {fields}")
        for field in task.fields:
            if field not in item:
                raise InputError(f"{where}: item {number}: expected the fields {fields}: {field!r} is missing")
            if item[field] is not None and not is_value(item[field]):
                found = shown(repr(item[field]))
                raise InputError(f"{where}: item {number}: {field}: expected text or a number, found {found}")
        cleaned.append({field: as_text(item[field]) for field in task.fields})
    return cleaned
