"""What a profile will need, before anything is downloaded: parameters, disk, memory, operations, hours.

Everything is counted from the shapes of the models (shapes.py) and the paper's table of LaMP (paper.py). A forward pass
takes 2 operations a parameter and token, a backward pass through a frozen model 2 more, computing layers again 2 more.
"""

from dataclasses import dataclass

from pplug.config import Profile
from pplug.embedder import Plug, PlugConfig
from pplug.paper import DATA
from pplug.results import markdown
from pplug.shapes import SHAPES, count, make_config
from pplug.tasks import TASKS

ITEM_TOKENS = {"LaMP-1": 162.3, "LaMP-2": 50.0, "LaMP-3": 128.2, "LaMP-4": 40.0, "LaMP-5": 172.0, "LaMP-7": 20.0}
# Of a history item. The paper does not say: taken from its inputs less template, plus title; LaMP-1's as LaMP-5's.
CHARACTERS = 4.5  # of English text a token


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
    """One task's share: questions that are trained on and answered, history items at most, hours."""

    steps: int
    questions: int
    answered: int
    items: int
    hours: dict[str, float]


def trained_parameters(profile: Profile) -> int:
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
    epochs = 1 if task == "LaMP-3" else profile.epochs
    steps = profile.steps or epochs * train // profile.batch_size
    answered = min(dev, profile.n_test or dev)  # LaMP withholds the test outputs
    items = int((train + dev + test) * history)
    llm, encoder = count(profile.llm), count(profile.encoder)
    tokens = asked + profile.n_soft_tokens + 1
    seen = llm.get("encoder", llm["decoder"]) * tokens + llm["decoder"] * said
    each = (6 if profile.checkpointing else 4) * seen
    each += 6 * encoder["encoder"] * asked * profile.train_input_encoder
    most = TASKS[task].max_new_tokens
    decoding = answered / 64 * most * 2 * llm["decoder"] / device.memory  # each token of a batch reads all weights
    hours = {
        "encode": 2 * encoder["encoder"] * ITEM_TOKENS[task] * items / device.encoding / 3600,
        "train": each * steps * profile.batch_size / device.training / 3600,
        "answer": (2 * llm.get("encoder", llm["decoder"]) * tokens * answered / device.training + decoding) / 3600,
    }
    return TaskPlan(steps, train, answered, items, hours)


def memory(profile: Profile) -> float:
    """Bytes that training needs on the device: the LLM in half precision, the plug with AdamW, one part of a batch."""
    llm, encoder = count(profile.llm), count(profile.encoder)
    fields = make_config(profile.llm).to_dict()
    layers = fields.get("num_layers") or fields["num_hidden_layers"]
    tokens = 256 + profile.n_soft_tokens + 1
    values = tokens * llm["width"] * (layers + 40 if profile.checkpointing else 40 * layers)  # 40: one layer's own
    logits = 128 * fields["vocab_size"] * 3  # twice in single precision beside half
    encoders = (1 + profile.train_input_encoder) * encoder["total"] * 4
    return 2 * llm["total"] + 16 * trained_parameters(profile) + encoders + 2 * profile.micro_batch * (values + logits)


def plan(profile: Profile) -> str:
    """Tell what a profile will need on real LaMP.

    Args:
        profile: One whose LLM and encoder have a known shape.

    Returns:
        Text with a table, one line a task.

    Raises:
        ValueError: The LLM's or the encoder's shape is not known.
    """
    device = CARD if profile.checkpointing else LAPTOP_CPU
    llm, encoder = count(profile.llm), count(profile.encoder)
    parts = {task: plan_task(task, profile, device) for task in DATA}
    lines = []
    for task, part in parts.items():
        hours = [f"{part.hours[what]:.1f}" for what in ("encode", "train", "answer")]
        files = part.items * ITEM_TOKENS[task] * CHARACTERS
        vectors = part.items * (2 * encoder["width"] + 16)
        cells = [f"{part.questions:,}", f"{part.steps:,}", f"{part.answered:,}", f"{part.items:,}"]
        lines.append([task, *cells, f"{files / 1e9:.1f}", f"{vectors / 1e9:.1f}", *hours])
    total = {what: sum(part.hours[what] for part in parts.values()) for what in ("encode", "train", "answer")}
    weights = llm["total"] * (4 if SHAPES[profile.llm][0] == "T5" else 2) + encoder["total"] * 4
    head = ["task", "train questions", "steps", "answered", "history items, at most", "files, GB, at most"]
    head += ["vectors, GB, at most", "h encode", "h train", "h answer"]
    trained = trained_parameters(profile)
    return "\n".join(
        [
            f"profile {profile.name}: {profile.llm}, {profile.encoder}",
            f"- parameters: {llm['total']:,} in the LLM, frozen; {encoder['total']:,} in the history encoder, frozen; "
            f"**{trained:,} trained**",
            f"- a batch of {profile.batch_size}, {profile.micro_batch} at once; learning rate "
            f"{profile.learning_rate:g}; {profile.n_soft_tokens} soft tokens a user; {profile.beams} beams",
            f"- to download: about {weights / 1e9:.1f} GB of weights, and LaMP's files",
            f"- device memory in training: about {memory(profile) / 1e9:.0f} GB",
            f"- {device.name}: about {sum(total.values()):.1f} hours for all six tasks, one seed "
            f"(encoding {total['encode']:.1f}, training {total['train']:.1f}, answering {total['answer']:.1f})",
            f"  ({device.basis})",
            "",
            markdown(head, lines),
        ]
    )
