"""Does the stand-in use what a prompt says about a user? Measured on unseen users, recorded beside its weights."""

import random

import numpy as np

from pplug.data import bootstrap_mean, describe_prompt, example_scores, gain, prompt_with_items, prompt_with_persona
from pplug.method import PersonalizedLM, answer_prompts
from pplug.offline.curriculum import Writer, pick_items

HELD_OUT_SEED, HELD_OUT_PREFIX = 7, "h"  # neither the stand-in's training users nor the experiments' users


def check(model, tokenizer, writers: list[Writer], max_new_tokens: int = 40) -> dict:
    """Score a stand-in on one task's held-out users.

    Args:
        model: The stand-in.
        tokenizer: Its tokenizer.
        writers: Users of one task; each one's last question is asked.
        max_new_tokens: Most tokens of an answer.

    Returns:
        `metric`, `n`, `scores`: way of telling → mean (of the headline metric) with interval, and `gains` of each way
        over telling nothing, positive is better. Ways: `nothing`, `persona`, `1 item`, `4 items`. `described`: the
        share of users whose persona sentence the stand-in writes word for word from six items. `users`: way → every
        user's own score.
    """
    plain = PersonalizedLM(model, tokenizer)
    task = writers[0].task
    asked = [(w, *w.questions[-1]) for w in writers]
    golds = [gold for _, _, gold, _ in asked]

    def with_items(k: int) -> list[str]:
        return [prompt_with_items(task, pick_items(task, text, w.items[:n], k), text) for w, text, _, n in asked]

    prompts = {"nothing": [text for _, text, _, _ in asked], "1 item": with_items(1), "4 items": with_items(4)}
    told = writers[0].persona is not None
    if told:
        prompts["persona"] = [prompt_with_persona(w.persona, text) for w, text, _, _ in asked]
    metric = task.metrics[0]
    by_way = {}
    for way, texts in prompts.items():
        answers = answer_prompts(plain, texts, max_new_tokens=max_new_tokens)
        by_way[way] = example_scores(task, answers, golds)[metric]
    result = {
        "metric": metric,
        "n": len(asked),
        "scores": {way: _rounded(bootstrap_mean(values)) for way, values in by_way.items()},
        "gains": {way: _rounded(gain(metric, by_way[way], by_way["nothing"])) for way in by_way if way != "nothing"},
        "users": {way: np.round(values, 4).tolist() for way, values in by_way.items()},
    }
    if told:
        rng = random.Random(0)
        shown = [(w, pick_items(task, text, w.items[:n], 6, rng)) for w, text, _, n in asked]
        shown = [(w, items) for w, items in shown if items]
        written = answer_prompts(
            plain, [describe_prompt(task, items) for _, items in shown], max_new_tokens=max_new_tokens
        )
        hits = [text == w.persona for text, (w, _) in zip(written, shown, strict=True)]
        result["described"] = round(float(np.mean(hits)), 4)
    return result


def _rounded(interval) -> dict[str, float]:
    return {name: round(getattr(interval, name), 4) for name in ("mean", "low", "high")}
