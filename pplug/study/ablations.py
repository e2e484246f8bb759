"""What each choice of the plug is worth: the same training with something changed, a row each, on a few tasks.

Four groups of rows: one choice changed (lesson 04), K of the paper's selection, the authors' release beside the paper,
and the encoder, half of the paper's Table 2. (Its other half, the LLM, needs a download: a second stand-in, on MiniLM,
takes hours to train on a processor without bfloat16.)
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pplug.base import cache_folder, file_hash, made_once, no_loading_bars
from pplug.method import RELEASE, SHIPPED, prepare
from pplug.study.experiment import fit, get_encoder
from pplug.study.names import STANDARD
from pplug.study.setting import Row, Setting

TASKS_COMPARED = ("LaMP-3", "LaMP-4")  # of different kinds: a rating and a text
OWN_ENCODER, STANDINS_ENCODER = "the profile's encoder", "the stand-in's encoder, mean of its output"
ENCODER_TOKENS = 256  # as MiniLM's; T5's positions are relative and have no limit
WITHOUT_LABEL, TRAINED_ENCODER = "no label in history", "input encoder fully trained"
CHOICES = {  # row → choices that differ from the profile's plug
    STANDARD: {},
    "attention, learnable τ": {"learn_temperature": True},
    "attention, top 4 items": {"top_k": 4},
    "mean": {"pooling": "mean"},
    "max": {"pooling": "max"},
    "last item": {"pooling": "last"},
    "no instruction embedding": {"instruction": False},
    "1 soft token (the paper)": {"soft_tokens": 1},
    "2 soft tokens": {"soft_tokens": 2},
    "full input as query": {"full_query": True},
    WITHOUT_LABEL: {"with_label": False},
    TRAINED_ENCODER: {"train_input_encoder": True},
}
LEFT_OUT = {  # (task, row) → why
    ("LaMP-4", WITHOUT_LABEL): "its history text is the same with and without",
    ("LaMP-3", TRAINED_ENCODER): "five times as long a training; on one task only",
}
SELECTIONS = {f"attention, top {k} items": {"top_k": k} for k in (2, 6, 8)}  # K = 4 is one of `CHOICES`
PAPERS_CHOICES = {"soft_tokens": 1, "train_input_encoder": True}
PROCEDURES = {  # the release's scale is FLAN-T5-XXL's: the measured one of the LLM at hand takes its place
    "the paper's choices": PAPERS_CHOICES,
    "the release's choices": PAPERS_CHOICES
    | {name: value for name, value in RELEASE.items() if name != "embedding_norm"},
}

BASES = {  # group → the row that its others are compared with
    "ablations": STANDARD,
    "selection": STANDARD,  # in the group above
    "release": next(iter(PROCEDURES)),
    "encoders": OWN_ENCODER,
}


def choices(s: Setting) -> Iterator[tuple[str, Row]]:
    """One choice changed at a time."""
    for name, changed in CHOICES.items():
        if (s.task, name) not in LEFT_OUT:
            yield name, _row(s, changed)


def selections(s: Setting) -> Iterator[tuple[str, Row]]:
    """Only the K items of largest weight."""
    for name, changed in SELECTIONS.items():
        yield name, _row(s, changed)


def procedures(s: Setting) -> Iterator[tuple[str, Row]]:
    """The release's choices beside the paper's."""
    for name, changed in PROCEDURES.items():
        yield name, _row(s, changed)


def encoders(s: Setting) -> Iterator[tuple[str, Row]]:
    """The standard plug on two encoders: the profile's, and one that never learnt to compare texts."""
    for name, source in ((OWN_ENCODER, s.profile.encoder), (STANDINS_ENCODER, str(standins_encoder()))):
        yield name, _row(Setting(s.task, replace(s.profile, encoder=source), s.seed), {})


def standins_encoder() -> Path:
    """The mean over what the stand-in T5's encoder makes of a text: one without a download, in the cache."""
    folder = cache_folder() / "encoders" / f"standin-{file_hash(SHIPPED / 'model.safetensors')[:8]}"

    def make(temporary: Path) -> None:
        module = get_encoder(str(SHIPPED)).module
        module.max_seq_length = ENCODER_TOKENS
        with no_loading_bars():
            module.save(str(temporary))

    return made_once(folder, make)


def _row(s: Setting, changed: dict) -> Row:
    fitted = fit(s.task, s.profile, s.seed, **changed)
    prepared = prepare(fitted.model, s.data, s.examples)  # with what the plug's own choices read
    about = {"choices": changed, "train_seconds": round(fitted.seconds, 1)}
    return Row(s.answers(fitted.model, prepared), about=about)
