"""The simulated world: how a persona shows in what simulated users write. `write(task, rng, values)` writes one text.

The persona's trait never changes what a text is about, only how it comes out: the same draw asks the same question of
every user.
"""

import random
from dataclasses import dataclass

from pplug.offline.lexicon import (
    ARRIVED,
    BIAS,
    CAMPS,
    CITED_AS,
    CITING_TITLES,
    DATA,
    DESPITE,
    FIELDS,
    FIRST_NAMES,
    FOR_WHOM,
    GAINS,
    GENRES,
    LAST_NAMES,
    MOMENTS,
    MOODS,
    NEWS,
    NEWS_MORE,
    NEWS_VERBS,
    NEWS_WHEN,
    PRODUCTS,
    STRENGTH,
    STUDIES,
    TELLINGS,
    THEMES,
    TIMES,
)


@dataclass(frozen=True)
class Text:
    """One text a user wrote: the input slots that ask for it, the output, and the history item it becomes."""

    group: str
    topic: str
    slots: dict[str, str]
    output: str
    item: dict[str, str]


def write(task: str, rng: random.Random, values: dict[str, str], topic: str | None = None) -> Text:
    """Write one text of a user.

    Args:
        task: The task's name.
        rng: Source of randomness.
        values: The user's trait value for each of the task's two groups.
        topic: What to write about; a random topic if None.

    Returns:
        The text with its topic and the group it belongs to.
    """
    topics = TOPICS[task]
    topic = topic or rng.choice(list(topics))
    group = topics[topic]
    slots, output, item = WRITERS[task](rng, topic, values[group])
    return Text(group, topic, slots, output, item)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _citation(rng: random.Random, topic: str, camp: str):
    problem = rng.choice(FIELDS[topic])
    method = rng.choice(CAMPS[camp])
    rival = rng.choice(CAMPS[rng.choice([c for c in CAMPS if c != camp])])
    references = [f"{way} for {problem}, {rng.choice(CITED_AS)}" for way in (method, rival)]
    first = rng.randrange(2)
    slots = {
        "title": f"{rng.choice(CITING_TITLES)} {problem}",
        "reference1": references[first],
        "reference2": references[1 - first],
    }
    own = rng.choice(CAMPS[camp])
    return (
        slots,
        f"[{first + 1}]",
        {"title": f"{_capital(problem)} with {own}", "abstract": _abstract(rng, problem, own)},
    )


def _abstract(rng: random.Random, problem: str, method: str) -> str:
    return f"{rng.choice(STUDIES)} {problem} with {method} {rng.choice(DATA)}. Our method {rng.choice(GAINS)}."


def _movie(rng: random.Random, topic: str, lens: str):
    theme, telling = rng.choice(list(THEMES)), rng.choice(list(TELLINGS))
    plot = f"{_capital(rng.choice(THEMES[theme]))} {rng.choice(GENRES[topic])}."
    director = f"Directed by {rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}."
    movie = f"{plot} {rng.choice(TELLINGS[telling])} {director}"
    tag = {"genre": topic, "theme": theme, "telling": telling}[lens]
    return {"movie": movie}, tag, {"description": movie, "tag": tag}


def _review(rng: random.Random, topic: str, bias: str):
    strength = rng.choices(range(1, 6), weights=(2, 3, 4, 3, 2))[0]
    words, phrases = STRENGTH[strength - 1]
    bought = f"I bought this {rng.choice(PRODUCTS[topic])} {rng.choice(FOR_WHOM)} and it came {rng.choice(ARRIVED)}."
    review = f"{bought} It is {rng.choice(words)}, {rng.choice(phrases)}."
    score = str(min(5, max(1, strength + BIAS[bias])))
    return {"review": review}, score, {"text": review, "score": score}


def _headline(rng: random.Random, topic: str, style: str):
    people, things = NEWS[topic]
    who, what, past = rng.choice(people), rng.choice(things), rng.choice(list(NEWS_VERBS))
    article = _capital(f"{who} {past} {what} {rng.choice(NEWS_WHEN)}. {rng.choice(NEWS_MORE)}")
    title = {
        "plain": f"{who} {past} {what}",
        "question": f"why did {who} {NEWS_VERBS[past]} {what}?",
        "list": f"five things to know about {what}",
        "breaking": f"breaking news: {what} {past} by {who}!",
    }[style]
    title = _capital(title)
    return {"article": article}, title, {"text": article, "title": title}


def _paper_title(rng: random.Random, topic: str, style: str):
    problem = rng.choice(FIELDS[topic])
    method = rng.choice(CAMPS[rng.choice(list(CAMPS))])
    abstract = _abstract(rng, problem, method)
    title = {
        "colon": f"{method}: a new approach to {problem}",
        "question": f"can {method} solve {problem}?",
        "on": f"on {problem} with {method}",
        "towards": f"towards better {problem} by means of {method}",
    }[style]
    title = _capital(title)
    return {"abstract": abstract}, title, {"title": title, "abstract": abstract}


def _tweet(rng: random.Random, topic: str, register: str):
    things, places = MOMENTS[topic]
    thing, place, mood, time = rng.choice(things), rng.choice(places), rng.choice(MOODS), rng.choice(TIMES)
    despite = rng.choice(DESPITE)
    neutral = f"{_capital(time)} {place} there was a {mood} {thing} for me {despite}."
    core = f"{mood} {thing} {place} {time} {despite}"
    tweet = {
        "formal": f"I would like to report a {core}.",
        "excited": f"Wow, what a {core}, can you believe it!!!",
        "hashtag": f"{_capital(core)} #mylife #{mood} #instadaily",
        "texting": f"omg had a {core} lol cu l8r",
    }[register]
    return {"tweet": neutral}, tweet, {"text": tweet}


WRITERS = {
    "LaMP-1": _citation,
    "LaMP-2": _movie,
    "LaMP-3": _review,
    "LaMP-4": _headline,
    "LaMP-5": _paper_title,
    "LaMP-7": _tweet,
}
TOPICS = {  # task → topic → group; the first half of the topics belongs to the first group
    "LaMP-1": {field: "theory" if i < 3 else "applied" for i, field in enumerate(FIELDS)},
    "LaMP-2": {genre: "spectacle" if i < 3 else "everyday" for i, genre in enumerate(GENRES)},
    "LaMP-3": {kind: "devices" if i < 2 else "media" for i, kind in enumerate(PRODUCTS)},
    "LaMP-4": {topic: "hard" if i < 3 else "soft" for i, topic in enumerate(NEWS)},
    "LaMP-5": {field: "theory" if i < 3 else "applied" for i, field in enumerate(FIELDS)},
    "LaMP-7": {moment: "work" if i < 2 else "leisure" for i, moment in enumerate(MOMENTS)},
}
