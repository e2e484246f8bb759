"""What a profile will need, before anything is downloaded: parameters, disk, memory, operations, hours.

Everything is counted from the shapes of the models (shapes.py) and the paper's table of LaMP (paper.py). A forward pass
takes 2 operations a parameter and token, a backward pass through a frozen model 2 more, computing layers again 2 more.
"""

from dataclasses import dataclass, replace

from pplug.config import Profile, card, training_steps
from pplug.data import TASKS
from pplug.method import VISITS, Plug, PlugConfig
from pplug.study.names import EVALUATED
from pplug.study.paper import DATA
from pplug.study.records import markdown
from pplug.study.shapes import SHAPES, count, make_config

ITEM_TOKENS = {"LaMP-1": 162.3, "LaMP-2": 50.0, "LaMP-3": 128.2, "LaMP-4": 40.0, "LaMP-5": 172.0, "LaMP-7": 20.0}
# Of a history item. The paper does not say: taken from its inputs less template, plus title; LaMP-1's as LaMP-5's.
CHARACTERS = 4.5  # of English text a token
LEAST_STEP = 0.03  # seconds to generate one token of a batch: hundreds of small operations, started one by one


@dataclass(frozen=True)
class Device:
    """What a plan reckons with: operations per second reached, and where the figure is from."""

    name: str
    training: float
    encoding: float
    memory: float  # bytes read per second, which bounds generation
    basis: str


LAPTOP_CPU = Device(
    "2 CPU cores", 2e11, 4.5e11, 2e10, "reached by `python -m benchmarks.run` on cores with bfloat16 instructions"
)
CARD = Device(
    "one 80 GB card",
    0.4 * 312e12,
    0.3 * 312e12,
    1e12,
    "assumed, not measured: 40 % (encoding 30 %) of an A100's 312 Tflop/s in bfloat16, half its memory bandwidth",
)


@dataclass(frozen=True)
class TaskPlan:
    """One task's share: steps, tokens and questions trained on, questions answered, history items at most, hours."""

    steps: int
    tokens: int
    questions: int
    answered: int
    items: int
    hours: dict[str, float]


def plug_parameters(profile: Profile) -> int:
    """Parameters of the plug that are trained, the input encoder's included where it is."""
    import torch

    width = count(profile.encoder)["width"]
    choices = {"soft_tokens": profile.n_soft_tokens, "train_input_encoder": profile.train_input_encoder}
    config = PlugConfig(width, count(profile.llm)["width"], 1.0, **choices)
    with torch.device("meta"):
        backbone = torch.nn.Identity() if profile.train_input_encoder else None
        plug = Plug(config, backbone)
    own = sum(p.numel() for p in plug.parameters() if p.requires_grad)
    return own + profile.train_input_encoder * count(profile.encoder)["total"]


def plan_task(task: str, profile: Profile, device: Device) -> TaskPlan:
    """Reckon one task of real LaMP under a profile."""
    (train, dev, test), asked, said, history = DATA[task]
    train, dev, test = (min(n, profile.n_users or n) for n in (train, dev, test))
    steps = training_steps(profile, TASKS[task], train)
    answered = min(dev, profile.n_test or dev)  # LaMP withholds the test outputs
    items = int((train + dev + test) * history)
    llm, encoder = count(profile.llm), count(profile.encoder)
    tokens = asked + profile.n_soft_tokens + 1
    seen = llm.get("encoder", llm["decoder"]) * tokens + llm["decoder"] * said
    each = (6 if profile.checkpointing else 4) * seen
    each += 6 * encoder["encoder"] * asked * profile.train_input_encoder
    most = TASKS[task].max_new_tokens
    # Each token of a batch reads all the decoder's weights, and takes some time however small they are.
    decoding = answered / 64 * most * max(2 * llm["decoder"] / device.memory, LEAST_STEP)
    hours = {
        "encode": 2 * encoder["encoder"] * ITEM_TOKENS[task] * items / device.encoding / 3600,
        "train": each * steps * profile.batch_size / device.training / 3600,
        "answer": (2 * llm.get("encoder", llm["decoder"]) * tokens * answered / device.training + decoding) / 3600,
    }
    return TaskPlan(steps, round(steps * profile.batch_size * (tokens + said)), train, answered, items, hours)


def file_bytes(task: str) -> float:
    """What LaMP's files of a task take, whatever subset of the users is used."""
    questions, _, _, history = DATA[task]
    return sum(questions) * history * ITEM_TOKENS[task] * CHARACTERS


def memory(profile: Profile) -> float:
    """Bytes that training needs on the device: the LLM in half precision, the plug with AdamW, one part of a batch."""
    llm, encoder = count(profile.llm), count(profile.encoder)
    fields = make_config(profile.llm).to_dict()
    layers = fields.get("num_layers") or fields["num_hidden_layers"]
    tokens = 256 + profile.n_soft_tokens + 1
    values = tokens * llm["width"] * (layers + 40 if profile.checkpointing else 40 * layers)  # 40: one layer's own
    logits = 128 * fields["vocab_size"] * 3  # twice in single precision beside half
    encoders = (1 + profile.train_input_encoder) * encoder["total"] * 4
    return 2 * llm["total"] + 16 * plug_parameters(profile) + encoders + 2 * profile.micro_batch * (values + logits)


def needs(profile: Profile) -> dict:
    """Reckon all six tasks.

    Returns:
        `device`; `tasks`, each one's plan; `hours` of `encode`, `train` and `answer` for one plug; `evaluate`, hours
        with its control and all rows of answers; and in bytes `weights`, `vectors`, `disk` and `memory`.
    """
    device = planned_on(profile)
    tasks = {task: plan_task(task, profile, device) for task in DATA}
    hours = {what: sum(task.hours[what] for task in tasks.values()) for what in ("encode", "train", "answer")}
    llm, encoder = count(profile.llm), count(profile.encoder)
    weights = llm["total"] * (4 if SHAPES[profile.llm][0] == "T5" else 2) + encoder["total"] * 4  # as they are stored
    vectors = sum(task.items for task in tasks.values()) * bytes_a_vector(profile)
    return {
        "device": device,
        "tasks": tasks,
        "hours": hours,
        "evaluate": hours["encode"] + 2 * hours["train"] + len(EVALUATED) * hours["answer"],
        "weights": weights,
        "vectors": vectors,
        "disk": weights + 2 * sum(map(file_bytes, tasks)) + vectors,
        "memory": memory(profile),
    }


def planned_on(profile: Profile) -> Device:
    """What a profile is reckoned on: a card where layers are computed again, as only large LLMs need it."""
    return CARD if profile.checkpointing else LAPTOP_CPU


def bytes_a_vector(profile: Profile) -> int:
    """What a text's vector takes in the store: half precision, and 16 bytes of key."""
    return 2 * count(profile.encoder)["width"] + 16


def make_plan(profile: Profile) -> str:
    """Tell what a profile will need on real LaMP.

    Args:
        profile: One whose LLM and encoder have a known shape.

    Returns:
        Text with a table, one line a task.

    Raises:
        ValueError: The LLM's or the encoder's shape is not known.
    """
    found = needs(profile)
    llm, encoder = count(profile.llm), count(profile.encoder)
    head = ["task", "train questions", "steps", "million tokens", "answered", "history items, at most"]
    head += ["million tokens, at most", "files, GB", "vectors, GB", "h encode", "h train", "h answer"]
    lines = []
    for task, part in found["tasks"].items():
        cells = [f"{part.questions:,}", f"{part.steps:,}", f"{part.tokens / 1e6:.1f}", f"{part.answered:,}"]
        cells += [f"{part.items:,}", f"{part.items * ITEM_TOKENS[task] / 1e6:.0f}", f"{file_bytes(task) / 1e9:.1f}"]
        cells += [f"{part.items * bytes_a_vector(profile) / 1e9:.1f}"]
        lines.append([task, *cells, *(f"{hours:.1f}" for hours in part.hours.values())])
    hours, device = found["hours"], found["device"]
    return "\n".join(
        [
            f"profile {profile.name}",
            card(profile),
            "",
            f"- parameters: {llm['total']:,} in the LLM, frozen; {encoder['total']:,} in the history encoder, frozen; "
            f"{plug_parameters(profile):,} trained",
            f"- to download: about {found['weights'] / 1e9:.1f} GB of weights, and LaMP's files",
            f"- disk: at most {found['disk'] / 1e9:.0f} GB (weights, files, a working copy of the files, vectors)",
            f"- device memory in training: about {found['memory'] / 1e9:.0f} GB",
            f"- {device.name}: about {sum(hours.values()):.1f} hours for one plug on each of the six tasks (encoding "
            f"{hours['encode']:.1f}, training {hours['train']:.1f}, answering {hours['answer']:.1f}); "
            f"{found['evaluate']:.1f} with its control and all rows of answers (`python -m pplug evaluate`)",
            f"  ({device.basis})",
            *([] if profile.steps else [_visits_line(profile)]),
            "",
            markdown(head, lines),
        ]
    )


def _visits_line(profile: Profile) -> str:
    """Steps and hours of training with the paper's number of visits and with the release's."""
    told = []
    for who, visits in (("the paper says no more than that", 1), ("as in the authors' release", VISITS)):
        tasks = needs(replace(profile, visits=visits))["tasks"].values()
        steps, hours = sum(task.steps for task in tasks), sum(task.hours["train"] for task in tasks)
        times = "once" if visits == 1 else f"{visits} times"
        told.append(f"each training question {times} an epoch ({who}): {steps:,} steps, {hours:.1f} hours")
    return f"- training in all, with {'; with '.join(told)}; this profile: visits={profile.visits}"
