"""Parameters of each user's own in the task-tuned LLM, trained on that user's history alone.

LoRA as in OPPU; IA3, a bottleneck adapter and a soft prompt as in PEFT-U. They are put into one shared LLM and swapped
from user to user. The task-tuned LLM is the one with a trained instruction embedding, so that what a user's parameters
gain over it is not task tuning.
"""

import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pplug.base import InputError, has_bfloat16, needing, write_bytes, write_text
from pplug.data import Data, build_input
from pplug.method import Example, PersonalizedLM, collate, prepare_example

METHODS = {  # way → AdamW's learning rate, chosen by the loss of 20 users' dev questions on two tasks
    "LoRA": 1e-2,
    "IA3": 1e-1,
    "bottleneck adapter": 3e-3,
    "soft prompt": 3e-2,
}
EPOCHS, BATCH = 4, 8
RANK, BOTTLENECK, PROMPT_TOKENS = 8, 16, 4
FEED_FORWARD = ("DenseReluDense", "mlp")  # what the feed-forward part of a layer is called in T5, and in Llama and Qwen
LAST_OF_LAYER = re.compile(r"(^|\.)\d+\.(output|fc2)$")  # its last part where it has no name: BERT's, BART's


def own_examples(data: Data, example: dict) -> list[tuple[str, str]]:
    """What a user's own parameters can be trained on: the texts that came before a question.

    Args:
        data: The task's data.
        example: The question.

    Returns:
        Inputs and outputs: the items of its profile; where items hold no question (LaMP-1, LaMP-7), the train questions
        of the same user. May be empty.
    """
    if data.task.held_out is None:
        train = data.splits.get("train", [])
        return [(row["input"], row["output"]) for row in train if row["user_id"] == example["user_id"]]
    asked, answer = data.task.held_out
    items = [data.items[row] for row in example["profile"]]
    return [(build_input(data.task, **{data.task.query_slot: item[asked]}), item[answer]) for item in items]


def prepare_own(model: PersonalizedLM, pairs: list[tuple[str, str]]) -> list[Example]:
    """Tokenise inputs and outputs for a model that reads no history: nothing is encoded."""
    nothing = np.zeros((0, model.plug.config.encoder_width), dtype=np.float16)
    query = np.zeros(model.plug.config.encoder_width, dtype=np.float16)
    return [prepare_example(model, text, answer, nothing, query, "") for text, answer in pairs]


@contextmanager
def installed(model: PersonalizedLM, method: str, seed: int = 0) -> Iterator[dict[str, nn.Parameter]]:
    """Put new parameters into the task-tuned LLM, and take them out again at the end.

    Args:
        model: The LLM with a trained instruction embedding.
        method: One of `METHODS`.
        seed: Of the initial values.

    Yields:
        Name → parameter, the only ones that are to be trained. At first they change nothing, or for a soft prompt, are
        embeddings of drawn tokens.

    Raises:
        InputError: There is no such method, or this LLM cannot have it.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}: expected one of {', '.join(METHODS)}")
    if why := left_out(model.llm, method):
        raise InputError(f"{method}: {why}")
    torch.manual_seed(seed)
    ways = {"LoRA": _lora, "IA3": _ia3, "bottleneck adapter": _bottleneck, "soft prompt": _soft_prompt}
    with ways[method](model) as parameters:
        yield parameters


def left_out(llm, method: str) -> str:
    """Why a way cannot be used with an LLM, in a few words; empty if it can."""
    if method in ("LoRA", "IA3") and not _targets(llm, method):
        return f"peft does not know which layers of a {llm.config.model_type} to adapt"
    if method == "bottleneck adapter" and not _feed_forward(llm):
        return f"it is not known what the feed-forward layers of a {llm.config.model_type} are called"
    return ""


def _targets(llm, method: str) -> dict:
    """Which layers peft adapts: its own choice for this kind of LLM or, of one made of two, for its parts."""
    from peft.utils import constants

    names = {"target_modules": f"TRANSFORMERS_MODELS_TO_{method.upper()}_TARGET_MODULES_MAPPING"}
    if method == "IA3":
        names["feedforward_modules"] = "TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING"
    parts = [getattr(llm.config, part, None) for part in ("encoder", "decoder")]
    kinds = [llm.config.model_type, *(part.model_type for part in parts if hasattr(part, "model_type"))]
    for kind in kinds:
        if all(kind in getattr(constants, name) for name in names.values()):
            return {field: list(getattr(constants, name)[kind]) for field, name in names.items()}
    return {}


def _feed_forward(llm) -> dict[str, nn.Module]:
    """The feed-forward part of each layer, by name."""
    modules = dict(llm.named_modules())
    named = {name: m for name, m in modules.items() if name.rsplit(".", 1)[-1] in FEED_FORWARD}
    return named or {name: m for name, m in modules.items() if LAST_OF_LAYER.search(name)}


@contextmanager
def _lora(model: PersonalizedLM):
    with needing("rivals"):
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel

    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, **_targets(model.llm, "LoRA"))
    with _tuned(model, LoraModel, config) as parameters:
        yield parameters


@contextmanager
def _ia3(model: PersonalizedLM):
    with needing("rivals"):
        from peft import IA3Config
        from peft.tuners.ia3 import IA3Model

    with _tuned(model, IA3Model, IA3Config(**_targets(model.llm, "IA3"))) as parameters:
        yield parameters


@contextmanager
def _tuned(model: PersonalizedLM, kind: type, config):
    tuner = kind(model.llm, config, "default")
    parameters = {name: p for name, p in model.llm.named_parameters() if p.requires_grad}
    for parameter in parameters.values():  # peft makes them of the LLM's type: bfloat16 would lose small steps
        parameter.data = parameter.data.float()
    try:
        yield parameters
    finally:
        tuner.unload()
        model.llm.requires_grad_(False)


@contextmanager
def _bottleneck(model: PersonalizedLM):
    width = model.llm.get_input_embeddings().weight.shape[1]
    layers = _feed_forward(model.llm)
    parameters, hooks = {}, []
    for name, layer in layers.items():
        down = nn.Parameter(torch.randn(BOTTLENECK, width, device=model.llm.device) / math.sqrt(width))
        up = nn.Parameter(torch.zeros(width, BOTTLENECK, device=model.llm.device))  # at first, nothing changes
        parameters |= {f"{name}.down": down, f"{name}.up": up}

        def add(_, __, output, down=down, up=up):
            return output + (nn.functional.gelu(output @ down.T.to(output.dtype)) @ up.T.to(output.dtype))

        hooks.append(layer.register_forward_hook(add))
    try:
        yield parameters
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _soft_prompt(model: PersonalizedLM):
    shared, table = model.plug.instruction, model.llm.get_input_embeddings()
    drawn = torch.randint(table.weight.shape[0], (PROMPT_TOKENS,), device=table.weight.device)
    own = table(drawn).detach().float()
    own = own / own.norm(dim=-1, keepdim=True) * shared.detach().norm(dim=-1).mean()  # rescaled to embeddings' length
    model.plug.instruction = nn.Parameter(torch.cat([own, shared.detach()]))
    try:
        yield {"instruction": model.plug.instruction}
    finally:
        model.plug.instruction = shared


def train_user(
    model: PersonalizedLM, parameters: dict[str, nn.Parameter], examples: list[Example], learning_rate: float, seed: int
) -> None:
    """Train one user's parameters, in place.

    Args:
        model: The LLM they are installed in.
        parameters: From `installed`.
        examples: The user's own; without any, nothing changes.
        learning_rate: Peak rate; it falls to zero over the steps.
        seed: Of the order.
    """
    if not examples:
        return
    order = torch.Generator().manual_seed(seed)
    steps = EPOCHS * math.ceil(len(examples) / BATCH)
    optimizer = torch.optim.AdamW(parameters.values(), lr=learning_rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    kind = model.llm.device.type
    for _ in range(EPOCHS):
        shuffled = torch.randperm(len(examples), generator=order).tolist()
        for start in range(0, len(examples), BATCH):
            batch = collate(model, [examples[i] for i in shuffled[start : start + BATCH]])
            with torch.autocast(kind, torch.bfloat16, enabled=has_bfloat16(kind)):
                model.train()(**batch)["loss"].backward()
            optimizer.step()
            falling.step()
            optimizer.zero_grad()
    model.eval()


def fit_user(
    model: PersonalizedLM,
    parameters: dict[str, nn.Parameter],
    fresh: dict[str, torch.Tensor],
    examples: list[Example],
    learning_rate: float,
    file: Path,
    seed: int,
) -> float:
    """Swap one user's parameters in: from `file`, or trained from `fresh` and written there.

    Args:
        model: The LLM they are installed in.
        parameters: From `installed`.
        fresh: Their initial values.
        examples: The user's own.
        learning_rate: See `train_user`.
        file: Its name must tell apart whatever decides the result: the caller's to see to.
        seed: Of the order of examples.

    Returns:
        The seconds their training took, also where that was in an earlier run.
    """
    from safetensors.torch import load_file, save

    beside = file.with_suffix(".json")
    if file.exists():
        swap_in(parameters, load_file(file))
        return json.loads(beside.read_text())["seconds"]
    start = time.perf_counter()
    swap_in(parameters, fresh)
    train_user(model, parameters, examples, learning_rate, seed)
    seconds = time.perf_counter() - start
    write_text(beside, json.dumps({"seconds": seconds}))  # first: a run that is stopped in between trains again
    write_bytes(file, save({name: p.detach().cpu().contiguous() for name, p in parameters.items()}))
    return seconds


def swap_in(parameters: dict[str, nn.Parameter], values: dict[str, torch.Tensor]) -> None:
    """Give the installed parameters a user's values."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])
