"""Answering: what the plug adds to the frozen LLM's latency, against items in the prompt, and for a new user.

What is timed is what a user of the package calls: `model.user(history)` and `model.generate(text, user)`.
"""

import statistics
import time

import torch

from benchmarks.shapes import INPUT, OUTPUT, flan_t5_small
from benchmarks.timing import REPEATS, alternate
from pplug.data.tasks import build_input, get_task, history_text, prompt_as_lamp
from pplug.method.budget import MAX_PROMPT
from pplug.method.encoders import encode_texts, load_encoder
from pplug.method.evaluation import answer_prompts
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM
from pplug.method.prompts import prompt_ids
from pplug.offline.simulate import make_user

TASK = get_task("LaMP-4")
DECODING = {4: "4 beams as in the paper", 1: "greedy"}  # beams → in words

HISTORIES = (0, 8, 64, 512)
NEW_TOKENS = round(OUTPUT[0])


def rows() -> list[dict]:
    """Time one user's answer without and with the plug, and the encoder's pass over what is in front of it."""
    standin, tokenizer = load_llm("standin")
    encoder = load_encoder(device="cpu")
    model = PersonalizedLM.create(TASK, flan_t5_small(), tokenizer, encoder)
    plain = PersonalizedLM(model.llm, tokenizer)
    items = [text.item for text in make_user(TASK.name, "served", 0, max(HISTORIES)).texts[: max(HISTORIES)]]
    question = _question(tokenizer)
    with_items = prompt_as_lamp(TASK, items[:4], question)
    users = {n: model.user(items[:n]) for n in HISTORIES}
    seconds = {}
    for beams in DECODING:
        options = {"num_beams": beams, "min_new_tokens": NEW_TOKENS, "max_new_tokens": NEW_TOKENS}
        ways = {
            name: lambda text=text, options=options: answer_prompts(plain, [text], **options)
            for name, text in (("plain", question), ("4 items", with_items))
        }
        ways |= {n: lambda u=u, options=options: model.generate(question, u, **options) for n, u in users.items()}
        seconds[beams] = alternate(ways, repeats=15)
    ids = prompt_ids(tokenizer, with_items, True, MAX_PROMPT)[1]
    with torch.inference_mode():
        embedded = {
            "4 items": model.llm.get_input_embeddings()(torch.tensor([ids])),
            "plug": model.prompt_embeds(question, users[HISTORIES[-1]])[None],
        }
        read = {name: lambda e=e: model.llm.encoder(inputs_embeds=e) for name, e in embedded.items()}
        passes = alternate(read, repeats=25)
    greedy = seconds[1]
    return [_latency(seconds[beams], told) for beams, told in DECODING.items()] + [
        {
            "what": "prompt processing, 4 items in the prompt ÷ plug",
            "goal": "≥ 3",
            "value": passes["4 items"] / passes["plug"],
            "detail": f"{passes['4 items'] * 1e3:.1f} against {passes['plug'] * 1e3:.1f} ms; end to end, greedy, "
            f"{greedy['4 items'] * 1e3:.1f} against {greedy[HISTORIES[-1]] * 1e3:.1f} ms",
        },
        _new_user(standin, tokenizer, encoder),
    ]


def _question(tokenizer) -> str:
    """An input of LaMP-4's mean length, in this tokenizer's tokens."""
    words, article = ["bridge", "old", "the", "for", "plan", "new", "a", "approved", "council", "city"] * 20, []
    while len(tokenizer(build_input(TASK, article=" ".join(article)))["input_ids"]) < round(INPUT[0]):
        article.append(words.pop())
    return build_input(TASK, article=" ".join(article))


def _latency(seconds: dict, decoding: str) -> dict:
    slowest = max(HISTORIES, key=seconds.get)
    ms = ", ".join(f"{n}: {seconds[n] * 1e3:.1f}" for n in HISTORIES)
    return {
        "what": f"generation latency with the plug ÷ without, {decoding}, the largest of 0 … 512 items",
        "goal": "≤ 1.05",
        "value": seconds[slowest] / seconds["plain"],
        "detail": f"without {seconds['plain'] * 1e3:.1f} ms; with, by items, {ms} ms (question's encoding included)",
    }


def _new_user(llm, tokenizer, encoder) -> dict:
    """One user nobody has met: 100 texts and a question, to the first answer, by the stand-in."""
    model = PersonalizedLM.create(TASK, llm, tokenizer, encoder)
    beyond, encoding = [], []
    for i in range(REPEATS + 1):
        someone = make_user(TASK.name, f"new{i}", 0, 100)
        history = [text.item for text in someone.texts[:100]]
        asked = build_input(TASK, **someone.texts[100].slots)
        start = time.perf_counter()
        encode_texts(encoder, [history_text(TASK, item) for item in history], progress=False)
        encoded = time.perf_counter()
        model.generate(asked, model.user(history))
        encoding.append(encoded - start)
        beyond.append(time.perf_counter() - encoded - encoding[-1])  # `user` encodes them once more
    value, encoded = (statistics.median(values[1:]) for values in (beyond, encoding))
    return {
        "what": "a new user with 100 new texts: seconds to the first answer beyond encoding them, no training",
        "goal": "< 1",
        "value": value,
        "detail": f"encoding them {encoded:.2f} s; stand-in LLM",
    }
