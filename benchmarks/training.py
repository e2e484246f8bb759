"""Training: examples a second against the released procedure, and a step against what the frozen LLM alone costs."""

import copy

import torch

from benchmarks import released
from benchmarks.shapes import ReadyTokens, flan_t5_small, lamp_examples
from benchmarks.timing import alternate
from pplug.base.hardware import has_bfloat16
from pplug.method.batches import Visits, collate
from pplug.method.encoders import load_encoder
from pplug.method.personalized import build
from pplug.method.training import train

BATCH, STEPS = 32, 24


def rows() -> list[dict]:
    """Time the released step, ours with the input encoder trained and frozen, and the floor of each, side by side."""
    llm, encoder = flan_t5_small(), load_encoder(device="cpu")
    examples = lamp_examples(BATCH * STEPS, encoder.width, llm.config.vocab_size)
    ours = {name: with_plug(llm, encoder, trained) for name, trained in (("frozen", False), ("trained", True))}
    variants = {"released": released_step(llm, encoder, examples[:BATCH])}
    for name, model in ours.items():
        variants[name] = lambda model=model: train(model, examples, [], STEPS, BATCH, 1e-4)
    variants["floor"] = _floor(ours["frozen"], examples)
    seconds = alternate(variants)
    rate = {name: BATCH * (1 if name == "released" else STEPS) / value for name, value in seconds.items()}
    told = {name: f"{value:.1f} examples/s" for name, value in rate.items()}
    return [
        {
            "what": f"training, examples/s, input encoder {name} ÷ released procedure",
            "goal": goal,
            "value": rate[name] / rate["released"],
            "detail": f"{told[name]} against {told['released']}",
        }
        for name, goal in (("trained", "≥ 8"), ("frozen", "≥ 12"))
    ] + [
        {
            "what": f"training step ÷ the frozen LLM's own forward + backward, input encoder {name}",
            "goal": goal,
            "value": seconds[name] / seconds["floor"],
            "detail": f"{told[name]} against {told['floor']}",
        }
        for name, goal in (("frozen", "≤ 1.10"), ("trained", ""))
    ]


def with_plug(llm, encoder, trained: bool):
    """The LLM with a new plug, its input encoder fully trained or frozen under a trained map."""
    torch.manual_seed(0)
    return build(llm, ReadyTokens(), encoder, train_input_encoder=trained)


def released_step(llm, encoder, batch):
    """One training step of the released procedure, ready to be taken again and again on one batch."""
    torch.manual_seed(0)
    backbone = copy.deepcopy(encoder.module).requires_grad_(True)
    plug = released.ReleasedPlug(encoder.width, llm.config.d_model, backbone)
    optimizer = torch.optim.AdamW(plug.parameters(), lr=1e-4, weight_decay=1e-4)
    history, mask = released.user_table(batch, encoder.width)

    def step():
        features = encoder.tokenize([example.query_text for example in batch], is_query=True)
        released.step(llm, plug, optimizer, batch, features, history, mask)

    return step


def _floor(model, examples):
    """Forward and backward of the LLM on the batches that training sees, from embeddings that are already joined."""
    batches = []
    visits = Visits(examples, BATCH * STEPS, 0)
    for start in range(0, len(visits), BATCH):
        batch = collate(model, [visits[i] for i in range(start, start + BATCH)])
        with torch.no_grad():
            joined, mask = model.join(**{name: value for name, value in batch.items() if name != "labels"})
        batches.append((joined.detach().requires_grad_(True), mask, batch["labels"]))

    def run():
        for joined, mask, labels in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16("cpu")):
                loss = model.llm(inputs_embeds=joined, attention_mask=mask, labels=labels).loss
            loss.backward()
            joined.grad = None

    return run
