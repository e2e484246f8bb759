"""The six LaMP tasks: input template, query text, history text, labels, metrics. Each is defined once, here.

LaMP-6 needs the licensed Avocado corpus and is left out, as in the paper.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from pplug.base.errors import InputError
from pplug.base.reading import shown

MOVIE_TAGS = (
    "sci-fi",
    "based on a book",
    "comedy",
    "action",
    "twist ending",
    "dystopia",
    "dark comedy",
    "classic",
    "psychology",
    "fantasy",
    "romance",
    "thought-provoking",
    "social commentary",
    "violence",
    "true story",
)


@dataclass(frozen=True)
class Task:
    """One LaMP task.

    Attributes:
        name: `"LaMP-1"` .. `"LaMP-7"`.
        title: What the task asks for, in three words.
        template: The exact input text with `{slots}`.
        query_slot: The slot that is the *query text* of the authors' release (the input without its template).
        fields: The fields a profile item must have.
        history: Format of the history text without the user's own label (the release's choice).
        labelled_history: Format of the history text with it. The label comes first: an encoder that
            cuts long texts must not cut the label. A score stands there three times: one digit is lost in a vector.
        prompt_item: Format of a history item shown to a stand-in LLM as text: its few words are single tokens there.
        lamp_item: Format of a history item shown to any other LLM, LaMP's own.
        lamp_end: What LaMP puts between the items and the input.
        held_out: The item's field that can serve as a question and the field that then is the answer; None if an
            item holds no question.
        labels: The legal outputs; empty for generation.
        metrics: Names of the metrics LaMP reports, the first one is the headline figure.
    """

    name: str
    title: str
    template: str
    query_slot: str
    fields: tuple[str, ...]
    history: str
    labelled_history: str
    prompt_item: str
    lamp_item: str
    lamp_end: str = ". "
    held_out: tuple[str, str] | None = None
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("rouge1", "rougeL")

    @property
    def max_new_tokens(self) -> int:
        """Tokens an answer may have; the paper allows 128 (10 for LaMP-3), and no text of LaMP's needs more than 40."""
        return 10 if self.labels else 40

    @cached_property
    def slots(self) -> list[str]:
        """The names of the template's slots, in their order."""
        return re.findall(r"\{(\w+)\}", self.template)


TASKS = {
    task.name: task
    for task in (
        Task(
            name="LaMP-1",
            title="citation identification",
            template=(
                'For an author who has written the paper with the title "{title}", which reference is related? '
                'Just answer with [1] or [2] without explanation. [1]: "{reference1}" [2]: "{reference2}"'
            ),
            query_slot="title",
            fields=("title", "abstract"),
            history="{title} {abstract}",
            labelled_history="{title} {abstract}",
            prompt_item='the author wrote "{title}"',
            lamp_item='"{title}"',
            labels=("[1]", "[2]"),
            metrics=("accuracy",),
        ),
        Task(
            name="LaMP-2",
            title="movie tagging",
            template=(
                "Which tag does this movie relate to among the following tags? Just answer with the tag name "
                f"without further explanation. tags: [{', '.join(MOVIE_TAGS)}] description: {{movie}}"
            ),
            query_slot="movie",
            fields=("description", "tag"),
            history="{description}",
            labelled_history="{tag}: {description}",
            prompt_item='the tag for "{description}" is "{tag}"',
            lamp_item='the tag for the movie: "{description}" is "{tag}"',
            held_out=("description", "tag"),
            labels=MOVIE_TAGS,
            metrics=("accuracy", "f1"),
        ),
        Task(
            name="LaMP-3",
            title="product rating",
            template=(
                "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 "
                "without further explanation. review: {review}"
            ),
            query_slot="review",
            fields=("text", "score"),
            history="{text}",
            labelled_history="score {score}, {score} stars, {score}/5: {text}",
            prompt_item='the score for "{text}" is {score}',
            lamp_item='{score} is the score for "{text}"',
            held_out=("text", "score"),
            labels=("1", "2", "3", "4", "5"),
            metrics=("mae", "rmse"),
        ),
        Task(
            name="LaMP-4",
            title="news headline",
            template="Generate a headline for the following article: {article}",
            query_slot="article",
            fields=("text", "title"),
            history="{text} {title}",
            labelled_history="{text} {title}",
            prompt_item='the headline for "{text}" is "{title}"',
            lamp_item='"{title}" is the title for "{text}"',
            held_out=("text", "title"),
        ),
        Task(
            name="LaMP-5",
            title="scholarly title",
            template="Generate a title for the following abstract of a paper: {abstract}",
            query_slot="abstract",
            fields=("title", "abstract"),
            history="{title} {abstract}",
            labelled_history="{title} {abstract}",
            prompt_item='the title for "{abstract}" is "{title}"',
            lamp_item='"{title}" is the title for "{abstract}"',
            lamp_end=". Following the given patterns ",
            held_out=("abstract", "title"),
        ),
        Task(
            name="LaMP-7",
            title="tweet paraphrasing",
            template="Paraphrase the following tweet without any explanation before or after it: {tweet}",
            query_slot="tweet",
            fields=("text",),
            history="{text}",
            labelled_history="{text}",
            prompt_item='the user wrote "{text}"',
            lamp_item='"{text}"',
            lamp_end=" are written by a person. Following the given patterns ",
        ),
    )
}


def fixed_parts() -> list[str]:
    """The fixed parts of all templates and item formats, longest first; a stand-in's tokenizer has a token for each."""
    parts = set()
    for task in TASKS.values():
        for text in (task.template, task.prompt_item):
            parts |= {part.strip() for part in re.split(r"\{\w+\}", text)}
    return sorted((part for part in parts if len(part) > 8), key=lambda part: (-len(part), part))


LOWER_IS_BETTER = frozenset({"mae", "rmse"})


def get_task(name: str) -> Task:
    """Find a task by name; `LaMP-4` and `LaMP_4` both work.

    Raises:
        InputError: If there is no such task; the message lists the six.
    """
    task = TASKS.get(str(name).replace("_", "-"))
    if task is None:
        raise InputError(f"unknown task {shown(str(name))!r}: expected one of {', '.join(TASKS)}")
    return task


def build_input(task: Task, **slots: str) -> str:
    """Fill the task's template, e.g. `build_input(task, article="...")`."""
    return task.template.format(**slots)


def parse_input(task: Task, text: str) -> dict[str, str]:
    """Take an input apart into the template's slots.

    Raises:
        ValueError: If the text does not follow the template.
    """
    start, *between, end = re.split(r"\{\w+\}", task.template)
    is_framed = text.startswith(start) and text.endswith(end) and len(text) >= len(start) + len(end)
    rest, values = text[len(start) : len(text) - len(end)], []
    for part in reversed(between):  # what stands twice belongs to the earlier slot, as LaMP-1's titles may hold quotes
        rest, found, value = rest.rpartition(part)
        is_framed = is_framed and bool(found)
        values.append(value)
    if not is_framed:
        raise ValueError(f"the input does not follow {task.name}'s template {task.template!r}: it reads {text[:80]!r}")
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
    """Put history items in front of an input in the words of LaMP's own prompts; LaMP-1's stand inside the input."""
    if not items:
        return text
    said = ", and ".join(task.lamp_item.format(**item) for item in items)
    if task.name == "LaMP-1":
        title = f'"{parse_input(task, text)["title"]}"'
        return text.replace(title, f"{title}, and {said}", 1)
    return said + task.lamp_end + text


def prompt_with_persona(persona: str, text: str) -> str:
    """Put a sentence that describes the user in front of an input."""
    return f"{persona} {text}"


def describe_prompt(task: Task, items: list[dict]) -> str:
    """Ask for the sentence that describes the user who made these items."""
    return "describe the user: " + ", and ".join(task.prompt_item.format(**item) for item in items)
