"""To try a plug by hand: a person, some of her history, a message; three answers side by side, her items' weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pplug.base import InputError, needing
from pplug.data import Task, build_input, parse_input
from pplug.insight.plots import COLOURS
from pplug.insight.saying import item_told
from pplug.method import PersonalizedLM, answer_prompts

WHOSE = ("nobody's", "hers", "someone else's")
HEAVIEST = 6  # items whose weight is shown
BOX = "flex: 1 1 220px; border: 1px solid #999; border-radius: 6px; padding: 4px 10px; margin: 4px"


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody to ask.

    Attributes:
        name: As it is shown.
        model: With the plug that is to answer.
        history: Her items, oldest first.
        other: Someone else's items.
        message: What she is asked at first.
    """

    name: str
    model: PersonalizedLM
    history: Sequence[dict]
    other: Sequence[dict]
    message: str


def with_others(model: PersonalizedLM, people: dict[str, list[dict]], message: str) -> list[Person]:
    """People of one plug, each with the next one as someone else.

    Args:
        model: With the plug.
        people: Name → history.
        message: What they are asked at first.
    """
    pairs = list(people.items())
    around = zip(pairs, pairs[1:] + pairs[:1], strict=True)
    return [Person(name, model, history, other, message) for (name, history), (_, other) in around]


@dataclass(frozen=True)
class Tried:
    """What came of one message.

    Attributes:
        answers: Whose embedding, as in `WHOSE` → the answer.
        items: Those of her items that were used, as texts, oldest first.
        weights: Of each, summing to 1.
    """

    answers: dict[str, str]
    items: list[str]
    weights: list[float]


def ask(person: Person, message: str, newest: int) -> Tried:
    """Ask three times: without an embedding, with hers, with someone else's.

    Args:
        person: Whom.
        message: What: an input that follows the task's template, or, where it has one slot, what fills it.
        newest: How many of the newest items make the embeddings; 0 for none.

    Raises:
        InputError: There is no message, or it does not follow a template of several slots.
    """
    model, task = person.model, person.model.task
    text = _as_input(task, message)
    bare = PersonalizedLM(model.llm, model.tokenizer, None, model.encoder, model.facts)
    kept = list(person.history)[max(0, len(person.history) - newest) :]
    hers, theirs = model.user(kept), model.user(list(person.other)[max(0, len(person.other) - newest) :])
    answers = answer_prompts(bare, [text], max_new_tokens=30) + model.generate([text] * 2, [hers, theirs])
    items = [item_told(task, item) for item in kept[len(kept) - len(hers) :]]
    said = dict(zip(WHOSE, (" ".join(answer.split()) for answer in answers), strict=True))
    return Tried(said, items, model.weights(text, hers).tolist())


def _as_input(task: Task, message: str) -> str:
    message = " ".join(message.split())
    if not message:
        raise InputError("there is no message: type one")
    try:
        parse_input(task, message)
    except InputError:
        if len(task.slots) > 1:
            raise
        return build_input(task, **{task.slots[0]: message})
    return message


def answers_page(tried: Tried) -> str:
    """The answers in three boxes, and under them the heaviest items with their weights, as HTML."""
    boxes = "".join(
        f'<div style="{BOX}"><b>{escape(whose)}</b><br>{escape(answer)}</div>'
        for whose, answer in tried.answers.items()
    )
    order = sorted(range(len(tried.items)), key=lambda i: (-tried.weights[i], -i))[:HEAVIEST]
    longest = max(tried.weights, default=1)
    rows = "".join(
        f'<div><span style="display: inline-block; height: .7em; background: {COLOURS[0]}; '
        f'width: {60 * tried.weights[i] / longest:.0f}px"></span> {tried.weights[i]:.3f} {escape(tried.items[i])}</div>'
        for i in order
    )
    of = (
        f"the {len(order)} heaviest of {len(tried.items)} items"
        if order
        else "no items: the embedding of someone unknown"
    )
    return f'<div style="display: flex; flex-wrap: wrap">{boxes}</div><div><b>Weights</b> ({of})</div>{rows}'


def try_it(people: Sequence[Person]):
    """Make the widget: choose, type, press *Ask*. It needs a running kernel; a committed page keeps none of it.

    Args:
        people: Whom one may choose.

    Returns:
        An `ipywidgets.VBox`.
    """
    with needing("notebooks"):
        import ipywidgets as widgets

    known = {person.name: person for person in people}
    wide = {"style": {"description_width": "70px"}, "layout": {"width": "95%"}}
    who = widgets.Dropdown(options=list(known), description="person", **wide)
    newest = widgets.IntSlider(description="items", **wide)
    message = widgets.Textarea(description="message", rows=2, **wide)
    button, shown = widgets.Button(description="Ask", button_style="primary"), widgets.HTML()

    def choose(_=None):
        person = known[who.value]
        newest.max = len(person.history)
        newest.value, message.value, shown.value = newest.max, person.message, ""

    def answer(_):
        button.disabled, shown.value = True, "<i>The LLM is writing …</i>"
        try:
            shown.value = answers_page(ask(known[who.value], message.value, newest.value))
        except InputError as error:
            shown.value = f"<i>{escape(str(error))}</i>"
        finally:
            button.disabled = False

    who.observe(choose, "value")
    button.on_click(answer)
    choose()
    return widgets.VBox([who, newest, message, button, shown])
