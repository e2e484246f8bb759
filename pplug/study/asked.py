"""Real people and a real LLM: how likely each row of the study finds what they truly wrote."""

from dataclasses import replace

import numpy as np
import torch

from pplug.data import SPREADS, example_scores, style_distance
from pplug.method import (
    Example,
    PersonalizedLM,
    nats_together,
    new_tokens,
    predict,
    swap_histories,
    target_ids,
    target_nats,
    token_nats,
)
from pplug.rivals.ngram_cache import NgramCache, best_share, with_cache
from pplug.study.people import CROWD, PAPER, PROMPT_TUNING, SHUFFLED, WORDED, WORDED_CROWD, People, bare_llm

OWN, ANOTHERS, NONE = "own history", "another user's history", "no personalisation"
PAPER_OWN, PAPER_ANOTHERS = f"{PAPER}, {OWN}", f"{PAPER}, {ANOTHERS}"
AGAINST = f"{OWN} against {PROMPT_TUNING}"
CACHED = "and a cache of the own words"
LONGEST_REPLY = 40  # tokens
LENGTHS = (0, 1, 2, 5, 10, 20)  # items of a shortened history


def asked_on_test(people: People, models: dict[str, PersonalizedLM], seed: int) -> dict:
    """Every row's nats of the true replies, and whether it finds out who wrote one.

    Args:
        people: From `prepared_people`.
        models: Row → model, of one seed.
        seed: Of whose history another user gets.

    Returns:
        Plain values: `questions`, what is known of each; `nats`: row → of each question; `who`: row → of each question
        whether the true reply is found likelier than another person's, token by token.
    """
    test, plug, paper = people.examples["test"], models[CROWD], models[PAPER]
    others = anothers_histories(people, seed)
    pairs = {OWN: (plug, test), ANOTHERS: (plug, others), PROMPT_TUNING: (models[PROMPT_TUNING], test)}
    pairs |= {PAPER_OWN: (paper, test), PAPER_ANOTHERS: (paper, others)}
    more = {newest_said(n): (plug, [_newest(example, n) for example in test]) for n in LENGTHS}
    if SHUFFLED in models:
        more[SHUFFLED] = (models[SHUFFLED], test)
    nats, tokens = _nats(pairs | more)
    anothers = [example.target_ids for example in people.anothers_replies]
    theirs, their_tokens = _nats(
        {
            name: (model, [replace(e, target_ids=ids) for e, ids in zip(examples, anothers, strict=True)])
            for name, (model, examples) in pairs.items()
        }
    )
    right = {name: nats[name] / tokens < theirs[name] / their_tokens for name in pairs}
    gains = [(each[PROMPT_TUNING] - each[OWN]) / n for each, n in ((nats, tokens), (theirs, their_tokens))]
    right[AGAINST] = gains[0] > gains[1]  # by what the user adds to what everyone is given
    return record_of(people, tokens, nats, right)


def asked_to_write(people: People, models: dict[str, PersonalizedLM], seed: int) -> dict:
    """What is answered, greedily, to the first test question of each person who was trained on; the texts are dropped.

    Args:
        people: From `prepared_people`.
        models: Row → model, of one seed.
        seed: Of whose history another user gets.

    Returns:
        `replies`: row → of each person `style`, the distance to the true reply in habits (`data.style`), `rouge1` and
        `words`; `true words` of the true replies.
    """
    trained_on, first = set(people.users("train")), {}
    for number, user in enumerate(people.users("test")):
        if user in trained_on:
            first.setdefault(user, number)
    rows, others = list(first.values()), anothers_histories(people, seed)
    own, golds = people.examples["test"], [people.questions["test"][row]["output"] for row in rows]
    asked = {NONE: (bare_llm(), own), PROMPT_TUNING: (models[PROMPT_TUNING], own)}
    asked |= {ANOTHERS: (models[CROWD], others), OWN: (models[CROWD], own)}
    found = {}
    for name, (model, examples) in asked.items():
        texts = predict(model, [examples[row] for row in rows], at_once(), max_new_tokens=LONGEST_REPLY)
        found[name] = {
            "style": style_distance(texts, golds, np.array(SPREADS)).round(4).tolist(),
            "rouge1": example_scores(people.data.task, texts, golds)["rouge1"].round(4).tolist(),
            "words": [len(text.split()) for text in texts],
        }
    return {"replies": found, "true words": [len(gold.split()) for gold in golds]}


def answers_scored(people: People, model: PersonalizedLM, examples: list[Example]) -> dict[str, list[float]]:
    """Metric → of each test question the score of what is answered, greedily."""
    task, golds = people.data.task, [question["output"] for question in people.questions["test"]]
    texts = predict(model, examples, at_once(), max_new_tokens=new_tokens(task, model.tokenizer))
    return {metric: each.round(4).tolist() for metric, each in example_scores(task, texts, golds).items()}


def anothers_histories(people: People, seed: int) -> list[Example]:
    """The test questions, each with the history of another person who has one; without a history it stays so.

    Half of the people have none: exchanged with theirs, *another's* would mostly mean *nobody's*.
    """
    changed, users = list(people.examples["test"]), people.users("test")
    rows = [row for row, example in enumerate(changed) if len(example.history)]
    swapped = swap_histories([changed[row] for row in rows], [users[row] for row in rows], seed)
    for row, example in zip(rows, swapped, strict=True):
        changed[row] = example
    return changed


def asked_in_words(people: People, models: dict[str, PersonalizedLM]) -> dict:
    """As `asked_on_test`, of the bare LLM, and of the person in the prompt as text, alone and beside a plug.

    Args:
        people: From `prepared_people`.
        models: Row → model, of those that were trained on such prompts.
    """
    plain, worded = bare_llm(), people.in_words("test")
    asked = {f"{PROMPT_TUNING}, {name}": (models[WORDED], some) for name, some in worded.items()}
    asked |= {f"{CROWD}, {name}": (models[WORDED_CROWD], some) for name, some in worded.items()}
    nats, tokens = _nats(asked)
    for name, some in {NONE: people.examples["test"], **worded}.items():
        nats[name] = target_nats(plain, some, at_once() // 2)[0]
    theirs, their_tokens = target_nats(plain, people.anothers_replies, at_once() // 2)
    return record_of(people, tokens, nats, {NONE: nats[NONE] / tokens < theirs / their_tokens})


def asked_with_cache(people: People, models: dict[str, PersonalizedLM]) -> dict:
    """As `asked_on_test`, of the LLM or a plug beside a cache of the person's own words (rivals/ngram_cache.py).

    Args:
        people: From `prepared_people`.
        models: Row → model.

    Returns:
        Rows named with `CACHED` behind; `shares`: row → the cache's part, chosen on dev.
    """
    nats, shares, tokens, counted = {}, {}, None, {split: _cached(people, split) for split in ("dev", "test")}
    for row, model in models.items():
        each = {split: token_nats(model, people.examples[split], at_once()) for split in counted}
        shares[row] = best_share(each["dev"], counted["dev"])
        pairs = zip(each["test"], counted["test"], strict=True)
        nats[f"{row}, {CACHED}"] = np.array([with_cache(*pair, shares[row]) for pair in pairs])
        tokens = np.array([len(one) for one in each["test"]])
    return record_of(people, tokens, nats, {}) | {"shares": shares}


def _cached(people: People, split: str) -> list[np.ndarray]:
    tokenizer, made = bare_llm().tokenizer, {}
    for question in people.questions[split]:
        rows = tuple(question["profile"])
        if rows not in made:
            texts = [people.data.items[row]["reply"] for row in rows]
            made[rows] = NgramCache([target_ids(tokenizer, text, False) for text in texts])
    return [
        made[tuple(question["profile"])].likelihood(example.target_ids)
        for question, example in zip(people.questions[split], people.examples[split], strict=True)
    ]


def at_once() -> int:
    """Questions in one batch of the test."""
    return 128 if torch.cuda.is_available() else 16


def newest_said(n: int) -> str:
    """The name of the row with so many items of the history, the newest."""
    return f"newest {n}"


def _newest(example: Example, n: int) -> Example:
    return replace(example, history=example.history[max(0, len(example.history) - n) :])


def _nats(asked: dict[str, tuple[PersonalizedLM, list[Example]]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Row → nats of each question; and its tokens. Rows whose prompts differ are asked one after the other."""
    found, tokens = {}, None
    groups: dict[tuple, list[str]] = {}
    for name, (_, examples) in asked.items():
        groups.setdefault(tuple(map(tuple, (e.before_ids for e in examples))), []).append(name)
    for names in groups.values():
        nats, tokens = nats_together([asked[n][0] for n in names], [asked[n][1] for n in names], at_once())
        found |= dict(zip(names, nats, strict=True))
    return {name: found[name] for name in asked}, tokens


def record_of(people: People, tokens: np.ndarray, nats: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> dict:
    """What was found of the test questions as plain values, see `asked_on_test`."""
    users, asked = people.users("test"), people.questions["test"]
    place = {name: number for number, name in enumerate(dict.fromkeys(users))}
    turns = [users[: number + 1].count(user) for number, user in enumerate(users)]
    return {
        "people": len(place),
        "trained_on": len(set(people.users("train")) & set(place)),
        "questions": {
            "user": [place[user] for user in users],
            "turn": turns,
            "items": [len(example.history) for example in people.examples["test"]],
            "tokens": tokens.tolist(),
            "letters": [len(question["output"]) for question in asked],
        },
        "nats": {name: each.round(2).tolist() for name, each in nats.items()},
        "who": {name: each.astype(int).tolist() for name, each in right.items()},
    }


def summary(told: dict) -> str:
    """Nats per token and shares of right choices over all questions, for a log."""
    tokens = sum(told["questions"]["tokens"])
    nats = ", ".join(f"{name} {sum(each) / tokens:.4f}" for name, each in told["nats"].items())
    return f"{nats}; who: " + ", ".join(f"{name} {np.mean(each):.3f}" for name, each in told["who"].items())
