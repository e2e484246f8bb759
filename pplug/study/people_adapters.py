"""LoRA for each of forty real people: what parameters of one's own are worth beside one embedding for each."""

import random
from collections.abc import Callable

import numpy as np

from pplug.method import PersonalizedLM, target_nats
from pplug.rivals.per_user import fit_user, installed, own_examples, prepare_own
from pplug.study.asked import at_once
from pplug.study.experiment import kept_at
from pplug.study.people import People, weights_hash

ADAPTERS = "people-adapters"
TESTED, TRIED_ON, LEAST = 40, 8, 20  # people; others on whose dev questions the rate is chosen; items of a history
RATES = (3e-4, 1e-3, 3e-3)  # of LoRA


def asked_with_adapters(people: People, tuned: PersonalizedLM, log: Callable[[str], None]) -> dict:
    """Train LoRA on each person's own earlier replies, on top of prompt tuning, and ask her test questions.

    Args:
        people: From `prepared_people`.
        tuned: Prompt tuning, with which everyone begins.
        log: Told how it goes.

    Returns:
        `users`: positions of the people as in the records of `asked_on_test`; `tokens` and `nats` of their test
        questions: with prompt tuning alone, the own LoRA and another person's; `rates`: rate → nats per token on dev,
        of other people; `seconds` and `bytes` of one person's LoRA.
    """
    known, items = set(people.users("train")), {}
    for question in people.questions["test"]:
        items[question["user_id"]] = len(question["profile"])
    drawn = [user for user in sorted(items) if user in known and items[user] >= LEAST]
    random.Random(0).shuffle(drawn)
    tested, others = drawn[:TESTED], drawn[TESTED : TESTED + TRIED_ON]
    folder = kept_at("adapters", [weights_hash(tuned), people.data.hash])
    with installed(tuned, "LoRA") as parameters:
        fresh = {name: value.detach().clone() for name, value in parameters.items()}

        def fitted(user: str, split: str, rate: float) -> float:
            question = next(q for q in people.questions[split] if q["user_id"] == user)
            examples = prepare_own(tuned, own_examples(people.data, question))
            return fit_user(tuned, parameters, fresh, examples, rate, folder / f"{user}-{split}-{rate}.safetensors", 0)

        def asked(user: str, split: str) -> tuple[float, int]:
            pairs = zip(people.questions[split], people.examples[split], strict=True)
            nats, tokens = target_nats(tuned, [e for q, e in pairs if q["user_id"] == user], at_once())
            return float(nats.sum()), int(tokens.sum())

        rates = {}
        for rate in RATES:
            found = []
            for user in others:
                fitted(user, "dev", rate)
                found.append(asked(user, "dev"))
            nats, tokens = np.sum(found, axis=0)
            rates[rate] = nats / tokens
            log(f"LoRA, rate {rate:g}: {rates[rate]:.4f} nats per token on dev of {len(others)} others")
        best = min(rates, key=rates.get)
        seconds, own, theirs = [], [], []
        for user, other in zip(tested, tested[1:] + tested[:1], strict=True):
            seconds.append(fitted(user, "test", best))
            own.append(asked(user, "test"))
            theirs.append(asked(other, "test"))
        theirs = theirs[-1:] + theirs[:-1]  # of each person, with the LoRA of the one before
        size = sum(value.numel() for value in parameters.values()) * 2
    alone = [asked(user, "test") for user in tested]
    place = {user: number for number, user in enumerate(dict.fromkeys(people.users("test")))}
    nats = {"prompt tuning": alone, "own LoRA": own, "another user's LoRA": theirs}
    log(f"LoRA for {len(tested)}: " + ", ".join(f"{k} {np.divide(*np.sum(v, axis=0)):.4f}" for k, v in nats.items()))
    return {
        "task": people.data.task.name,
        "users": [place[user] for user in tested],
        "tokens": [tokens for _, tokens in alone],
        "nats": {name: [round(value, 2) for value, _ in each] for name, each in nats.items()},
        "rates": {str(rate): round(value, 4) for rate, value in rates.items()},
        "seconds": round(float(np.mean(seconds)), 2),
        "bytes": size,
    }
