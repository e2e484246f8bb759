"""Training for a pretrained chat LLM, SmolLM2: a step now against the first one that landed, and against the LLM alone.

*At first* the LLM's weights were in single precision under autocast, logits were computed everywhere, and what stands
in front of the soft prompt was read with gradient. *The LLM alone* reads as many tokens in batches without any padding,
forwards and backwards to its inputs. Of the questions only their lengths matter; histories are made-up numbers.
"""

import gc
import random

import numpy as np
import psutil
import torch

from benchmarks.timing import alternate
from pplug.base.hardware import has_bfloat16
from pplug.config import DEFAULT
from pplug.method.batches import Example, collate, prepare_example
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM, build
from pplug.study.experiment import task_data
from pplug.study.people import CHOICES, CROWD, PAPER, PROFILE, made_plug

BATCH, BATCHES, ITEMS = 8, 4, 20
KINDS = {"replies in chats, crowd plug": ("chat", CROWD, PROFILE), "movie tags, PPlug": ("LaMP-2", PAPER, DEFAULT)}
STEPS, SETTLED = 400, 100  # of the look at memory; steps after which it is to stay as it is
ALONE = {"only_targets": True, "front_once": True}  # as `training.train` calls the model


def rows() -> list[dict]:
    """Time a few batches of mixed length of each kind; watch the memory of many steps of the first."""
    return [row for kind in KINDS for row in _steps(kind)] + [_memory(next(iter(KINDS)))]


def made(kind: str, questions: int) -> tuple[PersonalizedLM, list[Example]]:
    """A new plug in front of the LLM, and questions as their lengths are in the data."""
    task, form, profile = KINDS[kind]
    data, drawn = task_data(task, profile), np.random.default_rng(0)
    model = made_plug(data, CHOICES[form], 0)
    asked = data.splits["train"].to_list()
    width = model.plug.config.encoder_width

    def example(row: dict) -> Example:
        history, query = drawn.normal(size=(ITEMS, width)), drawn.normal(size=width)
        return prepare_example(model, row["input"], row["output"], history, query, "")

    return model, [example(row) for row in random.Random(0).choices(asked, k=questions)]


def _steps(kind: str) -> list[dict]:
    model, examples = made(kind, BATCH * BATCHES)
    llm, _ = load_llm("smollm2", dtype=torch.float32)
    choices = {name: value for name, value in CHOICES[KINDS[kind][1]].items() if name != "dropout"}
    first = build(llm, model.tokenizer, model.encoder, None, model.facts, **choices)
    batches = [collate(model, examples[start : start + BATCH]) for start in range(0, len(examples), BATCH)]
    lengths = [len(e.before_ids) + len(e.input_ids) + len(e.target_ids) + model.plug.tokens for e in examples]
    targets = [len(e.target_ids) for e in examples]

    def step(of: PersonalizedLM, **options) -> None:
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16("cpu")):
                loss = of(**batch, **options)["loss"]
            loss.backward()
            of.zero_grad()

    def alone() -> None:
        ids = torch.randint(1000, (BATCH, round(np.mean(lengths))))
        for _ in batches:
            embedded = model.llm.get_input_embeddings()(ids).detach().requires_grad_()
            keep = round(np.mean(targets)) + 1
            with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16("cpu")):
                logits = model.llm(inputs_embeds=embedded, use_cache=False, logits_to_keep=keep).logits
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, -keep:].flatten())
            loss.backward()

    ways = {
        "now": lambda: step(model.train(), **ALONE),
        "first": lambda: step(first.eval()),
        "alone": alone,
    }
    seconds = {name: value / BATCHES for name, value in alternate(ways).items()}
    told = {name: f"{value:.2f}" for name, value in seconds.items()}
    about = f"{BATCH} questions of {min(lengths)} to {max(lengths)} tokens"
    return [
        {
            "what": f"SmolLM2, {kind}: the first step that landed ÷ a training step",
            "goal": "≥ 1.7",
            "value": seconds["first"] / seconds["now"],
            "detail": f"{told['first']} against {told['now']} s; {about}",
        },
        {
            "what": f"SmolLM2, {kind}: a training step ÷ the LLM's own forward + backward without padding",
            "goal": "≤ 1.10",
            "value": seconds["now"] / seconds["alone"],
            "detail": f"{told['now']} against {told['alone']} s; {about}",
        },
    ]


def _memory(kind: str) -> dict:
    model, examples = made(kind, BATCH * STEPS)
    optimizer = torch.optim.AdamW(model.plug.parameters(), lr=1e-3)
    process, held = psutil.Process(), {}
    for number in range(STEPS):
        batch = collate(model, examples[number * BATCH : (number + 1) * BATCH])
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16("cpu")):
            model.train()(**batch, **ALONE)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        if number + 1 in (SETTLED, STEPS):
            gc.collect()
            held[number + 1] = process.memory_info().rss / 2**30
    told = ", ".join(f"{gib:.2f} GiB after {steps}" for steps, gib in held.items())
    return {
        "what": f"SmolLM2, {kind}: resident memory after {STEPS:,} steps of mixed length ÷ after {SETTLED}",
        "goal": "≤ 1.05",
        "value": held[STEPS] / held[SETTLED],
        "detail": told,
    }
