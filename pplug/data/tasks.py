"""A task: input template, history text, labels, metrics, each defined once; and the texts that follow from it.

LaMP's six are in lamp.py. A task of one's own is `Task(name=..., template=..., fields=...)`, or the same in a data
folder's `task.json`.
"""

import json
import re
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

from pplug.base import DataError, InputError, read_json, shown
from pplug.data.lamp_tasks import LAMP, MOVIE_TAGS
from pplug.data.task_checks import LABEL_METRICS, SLOT, TEXT_METRICS, check_metrics, check_task

__all__ = [
    "LOWER_IS_BETTER",
    "MOVIE_TAGS",
    "TASKS",
    "Task",
    "build_input",
    "describe_prompt",
    "fixed_parts",
    "get_task",
    "history_text",
    "parse_input",
    "prompt_as_lamp",
    "prompt_with_items",
    "prompt_with_persona",
    "query_text",
    "task_fact",
]

TASK_FILE = "task.json"
LOWER_IS_BETTER = frozenset({"mae", "rmse"})


@dataclass(frozen=True)
class Task:
    """What is asked, and what a user's history consists of. All but the first three have a default.

    Attributes:
        name: Names files and folders: letters, digits, dots and hyphens.
        template: The exact input text with `{slots}`.
        fields: The fields of a history item.
        title: What the task asks for, in a few words; the name if empty.
        query_slot: The slot that is the *query text* of the authors' release (the input without its template); the
            last one if empty.
        history: Format of the history text without the user's own label (the release's choice); if empty, the fields
            one after the other, without the answer where the task has labels.
        labelled_history: Format of the history text with it; if empty, the fields one after the other. LaMP's put the
            label first: an encoder that cuts long texts must not cut the label. A score stands there three times: one
            digit is lost in a vector.
        prompt_item: Format of a history item shown to a stand-in LLM as text; if empty, `field: "..."` for each field.
        lamp_item: Format of a history item shown to any other LLM; `prompt_item` if empty.
        lamp_end: What stands between the items and the input.
        items_inside: Whether items stand inside the input, behind its quoted query text, as LaMP-1's do.
        held_out: The item's field that can serve as a question and the field that then is the answer; None if an
            item holds no question.
        occasion: The item's field that says on which occasion it was made, such as a chat. An item that serves as a
            question then has no other item of its occasion as history; if empty, all that came before it.
        labels: The legal outputs; empty for generation.
        metrics: Names of the metrics, the first one is the headline figure; if empty, `accuracy` and `f1` for labels,
            `rouge1` and `rougeL` for texts.
        max_new_tokens: Tokens an answer may have; if 0, 10 for labels, 40 for texts. (The paper allows 128, and 10 for
            LaMP-3; no text of LaMP's needs more than 40.)
        epochs: Passes over the train questions, where the task is not to have the profile's; 0 where it is.

    Raises:
        InputError: They do not fit together; the message names the task and the field.
    """

    name: str
    template: str
    fields: tuple[str, ...]
    title: str = ""
    query_slot: str = ""
    history: str = ""
    labelled_history: str = ""
    prompt_item: str = ""
    lamp_item: str = ""
    lamp_end: str = ". "
    items_inside: bool = False
    held_out: tuple[str, str] | None = None
    occasion: str = ""
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    max_new_tokens: int = 0
    epochs: int = 0

    def __post_init__(self):
        for name, value in check_task(self).items():
            object.__setattr__(self, name, value)

        def default(field: str, value) -> None:
            object.__setattr__(self, field, getattr(self, field) or value)

        every = [f"{{{field}}}" for field in self.fields]
        answer = {f"{{{self.held_out[1]}}}"} if self.held_out and self.labels else set()
        default("title", self.name)
        default("query_slot", self.slots[-1])
        default("history", " ".join(field for field in every if field not in answer))
        default("labelled_history", " ".join(every))
        default("prompt_item", ", ".join(f'{name}: "{field}"' for name, field in zip(self.fields, every, strict=True)))
        default("lamp_item", self.prompt_item)
        default("metrics", (LABEL_METRICS if self.labels else TEXT_METRICS)[0])
        default("max_new_tokens", 10 if self.labels else 40)
        check_metrics(self)

    @cached_property
    def slots(self) -> list[str]:
        """The names of the template's slots, in their order."""
        return SLOT.findall(self.template)

    def to_json(self) -> dict:
        """The task as `task.json` holds it: all fields, lists for tuples."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, value: dict, where: str = TASK_FILE) -> "Task":
        """Make a task of what `to_json` gives, or of a part of it that says name, template and fields.

        Args:
            value: The fields.
            where: What an error begins with.

        Raises:
            DataError: It says no task.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(value, dict):
            raise DataError(f"{where}: expected an object with the fields of a task: {', '.join(known)}")
        for name in sorted(value.keys() - set(known)):
            raise DataError(f"{where}: expected the fields of a task, {', '.join(known)}; found {shown(name)}")
        for name in known[:3]:
            if name not in value:
                raise DataError(f'{where}: expected a task\'s "{name}"')
        try:
            return cls(**value)
        except InputError as error:
            raise DataError(f"{where}: {error}") from error


TASKS = {task["name"]: Task(**task) for task in LAMP}


def get_task(task: str | dict | Task | None, folder: str | Path | None = None) -> Task:
    """Find a task.

    Args:
        task: A task, which is returned as it is; or the name of one of LaMP's six (`LaMP-4` and `LaMP_4` both work) or
            of the folder's own; or what `Task.to_json` gives; None for the folder's own.
        folder: A data folder, which may have a `task.json`.

    Raises:
        InputError: If there is no such task; the message lists those there are.
        DataError: If the folder's `task.json` says none.
    """
    if isinstance(task, Task):
        return task
    if isinstance(task, dict):
        return Task.from_json(task, "task")
    known = dict(TASKS)
    path = Path(folder) / TASK_FILE if folder is not None else None
    if path is not None and path.exists():
        own = Task.from_json(read_json(path), str(path))
        if task is None:
            return own
        known[own.name] = own
    if task is None:
        raise DataError(f"{folder}: no task is named and there is no {TASK_FILE} here that says one")
    found = known.get(str(task)) or known.get(str(task).replace("_", "-"))
    if found is None:
        there = "" if path is None or len(known) > len(TASKS) else f", or the one in a {TASK_FILE} in {folder}"
        raise InputError(f"unknown task {shown(str(task))!r}: expected one of {', '.join(known)}{there}")
    return found


def task_fact(task: Task) -> str | dict:
    """What a saved plug says of its task, for `get_task`: a name where it is one of LaMP's, else all of it."""
    return task.name if task == TASKS.get(task.name) else task.to_json()


def fixed_parts() -> list[str]:
    """The fixed parts of all templates and item formats, longest first; a stand-in's tokenizer has a token for each."""
    parts = set()
    for task in TASKS.values():
        for text in (task.template, task.prompt_item):
            parts |= {part.strip() for part in re.split(r"\{\w+\}", text)}
    return sorted((part for part in parts if len(part) > 8), key=lambda part: (-len(part), part))


def build_input(task: Task, **slots: str) -> str:
    """Fill the task's template, e.g. `build_input(task, article="...")`."""
    return task.template.format(**slots)


def parse_input(task: Task, text: str) -> dict[str, str]:
    """Take an input apart into the template's slots.

    Raises:
        InputError: If the text does not follow the template.
    """
    start, *between, end = re.split(r"\{\w+\}", task.template)
    is_framed = text.startswith(start) and text.endswith(end) and len(text) >= len(start) + len(end)
    rest, values = text[len(start) : len(text) - len(end)], []
    for part in reversed(between):  # what stands twice belongs to the earlier slot, as LaMP-1's titles may hold quotes
        rest, found, value = rest.rpartition(part)
        is_framed = is_framed and bool(found)
        values.append(value)
    if not is_framed:
        raise InputError(f"the input does not follow {task.name}'s template {task.template!r}: it reads {text[:80]!r}")
    return dict(zip(task.slots, [rest, *reversed(values)], strict=True))


def query_text(task: Task, text: str, full: bool = False) -> str:
    """The text the input encoder reads.

    Args:
        task: The task the input belongs to.
        text: The input, template included.
        full: Whether to keep the template.

    Returns:
        The whole input if `full`, else the part that differs between inputs.

    Note:
        The paper encodes `x^u`, the input; the authors' release only the part after the template (for LaMP-1 the
        paper's title without the two references). The release's choice is the default here: the template is the
        same for everyone and can only blur the similarity to history.
    """
    return text if full else parse_input(task, text)[task.query_slot]


def history_text(task: Task, item: dict, with_label: bool = True) -> str:
    """The text of one history item that the history encoder reads.

    Args:
        task: The task.
        item: A profile item with the task's fields.
        with_label: Whether LaMP-2 and LaMP-3 items carry the user's own tag or score.

    Returns:
        The text to encode.

    Note:
        The authors' release leaves the tag and the score out, so on those two tasks the user's own labels never
        reach the model. The paper does not say. Here the label is kept unless `with_label` is false.
    """
    return (task.labelled_history if with_label else task.history).format(**item)


def prompt_with_items(task: Task, items: list[dict], text: str) -> str:
    """Put history items, as text, in front of an input: the prompt of retrieval-based personalisation."""
    if not items:
        return text
    return ", and ".join(task.prompt_item.format(**item) for item in items) + ". " + text


def prompt_as_lamp(task: Task, items: list[dict], text: str) -> str:
    """Put history items in front of an input in the words of LaMP's own prompts, or inside it (`items_inside`)."""
    if not items:
        return text
    said = ", and ".join(task.lamp_item.format(**item) for item in items)
    if task.items_inside:
        quoted = f'"{parse_input(task, text)[task.query_slot]}"'
        return text.replace(quoted, f"{quoted}, and {said}", 1)
    return said + task.lamp_end + text


def prompt_with_persona(persona: str, text: str) -> str:
    """Put a sentence that describes the user in front of an input."""
    return f"{persona} {text}"


def describe_prompt(task: Task, items: list[dict]) -> str:
    """Ask for the sentence that describes the user who made these items."""
    return "describe the user: " + ", and ".join(task.prompt_item.format(**item) for item in items)
