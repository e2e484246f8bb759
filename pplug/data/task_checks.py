"""What a `tasks.Task` must be: checked where it is made, since a `task.json` is written by hand."""

import re
from dataclasses import fields

from pplug.base import InputError, is_value, shown

SLOT = re.compile(r"\{(\w+)\}")
LABEL_METRICS, TEXT_METRICS = (("accuracy", "f1"), ("mae", "rmse")), (("rouge1", "rougeL"),)


def check_task(task) -> dict[str, tuple[str, ...]]:
    """Check what a `Task` was made of, before its defaults are filled in.

    Returns:
        The fields that hold several texts, as tuples: JSON has lists.

    Raises:
        InputError: It is no task; the message names the task and the field.
    """
    tuples = _check_types(task)
    _check_template(task)
    _check_fields(task)
    return tuples


def _check_types(task) -> dict[str, tuple[str, ...]]:
    tuples = {}
    for field in fields(task):
        value = getattr(task, field.name)
        if field.type is str:
            is_right, what = isinstance(value, str), "text"
        elif field.type is bool:
            is_right, what = isinstance(value, bool), "true or false"
        elif field.type is int:
            is_right = is_value(value) and isinstance(value, int) and 0 <= value < 10**6
            what = "a whole number, at least 0"
        else:
            is_list = isinstance(value, list | tuple) and all(isinstance(text, str) and text for text in value)
            is_right, what = is_list or (field.name == "held_out" and value is None), "a list of texts"
            if is_list:
                tuples[field.name] = tuple(value)
        _expect(is_right, task, field.name, f"{what}, found {shown(repr(value))}")
    is_name = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}", task.name)
    _expect(bool(is_name), task, "name", "up to 64 letters, digits, dots and hyphens: it names files")
    return tuples


def _check_template(task) -> None:
    """Check that an input can be made of the slots' texts, and the texts be found in it again."""
    template = task.template
    _expect(bool(task.slots), task, "template", "the place of an input's own text as a {slot}, found none")
    _expect_format(task, "template", task.slots)
    _expect(len(set(task.slots)) == len(task.slots), task, "template", "each slot once")
    _expect("}{" not in template, task, "template", "text between two slots, to tell where the first one ends")
    known = f"one of the template's slots, {', '.join(task.slots)}, found {shown(task.query_slot)!r}"
    _expect(task.query_slot in ("", *task.slots), task, "query_slot", known)
    if task.held_out is not None:
        _expect(len(task.slots) == 1, task, "held_out", "a template of one slot: an item can fill no other")
    if task.items_inside:
        quoted = f'"{{{task.query_slot or task.slots[-1]}}}"'
        _expect(quoted in template, task, "items_inside", f"{quoted}, in quotes, in the template")


def _check_fields(task) -> None:
    """Check what is said of the fields of a history item."""
    _expect(bool(task.fields), task, "fields", "at least one field of a history item")
    for name in task.fields:
        _expect(name.isidentifier(), task, "fields", f"names of letters, digits and _, found {shown(name)!r}")
    _expect(len(set(task.fields)) == len(task.fields), task, "fields", "each field once")
    for name in ("history", "labelled_history", "prompt_item", "lamp_item"):
        if getattr(task, name):
            _expect_format(task, name, task.fields)
    if task.held_out is not None:
        is_pair = len(task.held_out) == 2 == len(set(task.held_out) & set(task.fields))
        _expect(is_pair, task, "held_out", f"two of the fields {', '.join(task.fields)}: what asks, what answers")
    known = f"one of the fields {', '.join(task.fields)}, found {shown(task.occasion)!r}"
    _expect(task.occasion in ("", *task.fields), task, "occasion", known)


def _expect_format(task, name: str, known: tuple[str, ...] | list[str]) -> None:
    """Check that a format has no braces but those of known names, and at least one of these."""
    text = getattr(task, name)
    used = SLOT.findall(text)
    is_plain = not re.search(r"[{}]", SLOT.sub("", text)) and all(slot.isidentifier() for slot in used)
    _expect(is_plain, task, name, f"braces around names only, found {shown(text)!r}")
    unknown = [field for field in used if field not in known]
    what = f"at least one of {', '.join(f'{{{field}}}' for field in known)}, and no other name in braces"
    _expect(bool(used) and not unknown, task, name, f"{what}, found {shown(text)!r}")


def check_metrics(task) -> None:
    """Check that a task's labels and metrics fit each other.

    Raises:
        InputError: They do not.
    """
    labels = task.labels
    is_set = not labels or (1 < len(labels) == len(set(labels)) and all(label == label.strip() for label in labels))
    _expect(is_set, task, "labels", "at least two, each once, without spaces around it")
    kinds = LABEL_METRICS if labels else TEXT_METRICS
    what = " or ".join(", ".join(kind) for kind in kinds)
    is_kind = any(task.metrics == kind[: len(task.metrics)] for kind in kinds)
    _expect(is_kind, task, "metrics", f"{what}, the first of these or all, found {shown(', '.join(task.metrics))}")
    if task.metrics[0] == "mae":
        numeric = all(re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", label) for label in labels)
        _expect(numeric, task, "labels", "numbers, since mae and rmse are distances between them")


def _expect(condition: bool, task, field: str, what: str) -> None:
    if not condition:
        raise InputError(f"task {shown(str(task.name))!r}: {field}: expected {what}")
