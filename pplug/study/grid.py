"""The experiments behind the README's and the notebooks' tables: each cell is trained, evaluated and recorded once."""

from collections.abc import Callable, Iterator

from pplug.config import Profile
from pplug.study.experiment import available_tasks, record_name, run_cell
from pplug.study.records import FOLDER

SEEDS = (0, 1, 2)
ABLATION_TASKS = ("LaMP-3", "LaMP-4")  # of different kinds: a rating and a text
VARIANTS = {  # name in tables → choices that differ from the profile's plug
    "attention, τ = 1 (standard)": {},
    "attention, learnable τ": {"learn_temperature": True},
    "attention, top 4 items": {"top_k": 4},
    "mean": {"pooling": "mean"},
    "max": {"pooling": "max"},
    "last item": {"pooling": "last"},
    "no instruction embedding": {"instruction": False},
    "1 soft token (the paper)": {"soft_tokens": 1},
    "2 soft tokens": {"soft_tokens": 2},
    "full input as query": {"full_query": True},
    "no label in history": {"with_label": False},
}
TRAINED_ENCODER_TASK = "LaMP-4"  # the one task on which the input encoder is also fully trained


def cells(tasks: list[str]) -> Iterator[tuple[str, str, int, bool, dict]]:
    """All cells: (group, task, seed, with controls, choices)."""
    for seed in SEEDS:
        for task in tasks:
            yield "main", task, seed, True, {}
    for task in (t for t in ABLATION_TASKS if t in tasks):
        for choices in VARIANTS.values():
            if choices == {"with_label": False} and task == "LaMP-4":
                continue  # LaMP-4's history text is the same with and without
            for seed in SEEDS:
                yield "ablation", task, seed, False, choices
    if TRAINED_ENCODER_TASK in tasks:
        for seed in SEEDS:
            yield "ablation", TRAINED_ENCODER_TASK, seed, False, {"train_input_encoder": True}


def run_grid(profile: Profile, group: str | None = None, log: Callable[[str], None] = print) -> None:
    """Run every cell that has no record yet.

    Args:
        profile: Its name becomes part of the group, so that profiles do not overwrite each other.
        group: Only `main` or `ablation`; both if None.
        log: Called with one line for each cell.
    """
    for name, task, seed, with_controls, choices in cells(available_tasks(profile)):
        label = record_name(task, choices, seed)
        if (group and name != group) or (FOLDER / f"{name}-{profile.name}" / f"{label}.json").exists():
            continue
        record = run_cell(task, profile, seed, f"{name}-{profile.name}", with_controls, **choices)
        log(f"{name} {label}: {record['seconds']['train']:.0f} s of training")
