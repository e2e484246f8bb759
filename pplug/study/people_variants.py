"""The study's training once more: other encoders, poolings with and without an instruction embedding, other tasks."""

from collections.abc import Callable
from dataclasses import asdict, replace

from pplug.method import POOLINGS, PersonalizedLM, nats_together
from pplug.study.asked import ANOTHERS, NONE, OWN, anothers_histories, answers_scored, at_once, record_of
from pplug.study.people import (
    CHOICES,
    CROWD,
    PAPER,
    PROFILE,
    PROMPT_TUNING,
    TOKENS,
    People,
    bare_llm,
    fit_together,
    made_plug,
    prepared_people,
    prompt_tunings,
    settings,
)

VARIANTS = "people-variants"
ENCODERS = (PROFILE.encoder, "smollm2:6", "minilm+style", "minilm")  # of the first, prompt tuning has its width
POOLED = {  # equal in size: without an instruction embedding the user has one soft token more
    f"{pooling}{'' if instruction else ', no instruction embedding'}": TOKENS
    | {"pooling": pooling, "instruction": instruction, "soft_tokens": TOKENS["soft_tokens"] + (not instruction)}
    for pooling in POOLINGS
    for instruction in (True, False)
}
SHORT = (150, 150, 16)  # steps of prompt tuning, then of all, and questions a step: an hour or two of two cores
TASKS = (150, 150, 64)
WATCHED = 10  # of so many dev questions one is asked on the way


def encoders_compared(log: Callable[[str], None]) -> dict:
    """Both forms of the plug on the chats, with the vectors of several encoders; rows are told by `row_of`."""
    some = {encoder: prepared_people(profile=replace(PROFILE, encoder=encoder)).known() for encoder in ENCODERS}
    models = {
        f"{form}, {encoder}": (made_plug(people.data, CHOICES[form], 0, encoder), people)
        for encoder, people in some.items()
        for form in (CROWD, PAPER)
    }
    return _compared(models, SHORT, log)[0]


def poolings_compared(people: People, log: Callable[[str], None]) -> dict:
    """The paper's form with each pooling, with and without an instruction embedding."""
    people = people.known()
    models = {name: (made_plug(people.data, choices, 0), people) for name, choices in POOLED.items()}
    return _compared(models, SHORT, log)[0]


def task_asked(people: People, log: Callable[[str], None]) -> dict:
    """Both forms of the plug and prompt tuning on a task: nats, and scores of what they answer.

    Returns:
        As `asked.asked_on_test`, and `scores`: row → metric → of each question.
    """
    people = people.known()
    models = {form: (made_plug(people.data, CHOICES[form], 0), people) for form in (CROWD, PAPER)}
    told, kept = _compared(models, TASKS, log)
    asked = {NONE: (bare_llm(), people.examples["test"])}
    for form, model in kept.items():
        asked[form if form == PROMPT_TUNING else row_of(form, OWN)] = (model, people.examples["test"])
    asked[row_of(CROWD, ANOTHERS)] = (kept[CROWD], anothers_histories(people, 0))
    return told | {"scores": {row: answers_scored(people, *given) for row, given in asked.items()}}


def row_of(name: str, whose: str) -> str:
    """The row of a variant with the own, or with another user's history."""
    return f"{name}, {whose}"


def _compared(
    some: dict[str, tuple], size: tuple[int, int, int], log: Callable[[str], None]
) -> tuple[dict, dict[str, PersonalizedLM]]:
    """Train (model, people) of each name together with prompt tuning, and ask the test questions.

    Returns:
        What was found, as `asked.asked_on_test`; and name → model.
    """
    some = {name: (model, _watched(of)) for name, (model, of) in some.items()}
    people, (first_steps, steps, batch) = next(iter(some.values()))[1], size
    first = prompt_tunings(people, [0], log, first_steps, batch)[0]
    some = some | {PROMPT_TUNING: (made_plug(people.data, CHOICES[PROMPT_TUNING], 0), people)}
    models = {name: model for name, (model, _) in some.items()}
    for model in models.values():
        model.plug.begin_from(first.plug)
    examples, dev = ({name: of.examples[split] for name, (_, of) in some.items()} for split in ("train", "dev"))
    done = fit_together(models, examples, dev, log, steps, batch)
    asked = {PROMPT_TUNING: (models[PROMPT_TUNING], people.examples["test"])}
    for name, (model, of) in some.items():
        if name != PROMPT_TUNING:
            asked[row_of(name, OWN)] = (model, of.examples["test"])
            asked[row_of(name, ANOTHERS)] = (model, anothers_histories(of, 0))
    nats, tokens = nats_together(*(list(part) for part in zip(*asked.values(), strict=True)), at_once())
    about = settings(people) | {"seed": 0, "dev": done.curves["dev"]}
    about |= {"choices": {name: asdict(model.plug.config) for name, model in models.items()}}
    about |= {"first": first_steps, "steps": steps, "batch_size": batch}
    return about | record_of(people, tokens, dict(zip(asked, nats, strict=True)), {}), models


def _watched(people: People) -> People:
    return replace(people, examples=people.examples | {"dev": people.examples["dev"][::WATCHED]})
