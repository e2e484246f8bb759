"""How much to run: named profiles, one of which the environment variable `PPLUG_PROFILE` chooses.

The notebooks' text is the same in every profile; only these numbers change.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from pplug.base import InputError, project_folder

VARIABLE = "PPLUG_PROFILE"
CHATS = "chat"  # in place of a data folder: the packaged chats of real people
OWN = {"PPLUG_DATA": "data", "PPLUG_LLM": "llm"}  # environment variables for one's own data and LLM


@dataclass(frozen=True)
class Profile:
    """The settings of one profile.

    Attributes:
        name: The profile's name.
        n_users: Users of each simulated task; of real data, a seeded subset of so many users of each split. None: all.
        n_test: Test users that are evaluated at most; None for all.
        n_map_users: Users drawn on the map of user embeddings.
        steps: Optimiser steps of one plug training; None to go by `epochs`.
        epochs: Passes over the training questions, where `steps` is None.
        visits: How often a pass shows each training question, every time with another part of its history left out. The
            paper says nothing of it, so 1; the authors' release writes each question 11 times (`release.VISITS`), and
            so takes 11 times as many steps.
        batch_size: Training questions a step.
        micro_batch: Of these, how many are in memory at once; a step adds up their gradients.
        learning_rate: AdamW's highest learning rate.
        n_soft_tokens: P, the number of soft tokens the user embedding becomes; the paper has 1.
        items_as_questions: Whether history items are training questions too, each with the items before it as history;
            the paper trains on the train questions alone.
        checkpointing: Whether the LLM's layers are computed again in the backward pass instead of kept in memory.
        train_input_encoder: Whether the encoder of the input is trained with the plug, as in the paper, or frozen.
        encoder: The encoder of history and input: `minilm`, which is installed, or a name on the hub.
        llm: The frozen LLM: `standin`, which is in the repository, or a name on the hub.
        beams: Beams of the LLM's generation; the paper has 4, 1 is greedy.
        bootstrap: Resamples of the test users behind each interval.
        data: Folder of your own LaMP-format folders (`LaMP_4/`, ...); `"chat"` for the packaged chats of real people;
            None for simulated users.
        sharded: Whether the LLM's layers are spread over the processes of `accelerate launch`.
    """

    name: str
    n_users: int | None
    n_test: int | None
    n_map_users: int
    steps: int | None
    epochs: int
    visits: int
    batch_size: int
    micro_batch: int
    learning_rate: float
    n_soft_tokens: int
    items_as_questions: bool
    checkpointing: bool
    train_input_encoder: bool
    encoder: str
    llm: str
    beams: int
    bootstrap: int
    data: str | None = None
    sharded: bool = False


DEFAULT = Profile(  # a laptop without network: the simulated users and the stand-in LLM
    name="default",
    n_users=200,
    n_test=200,
    n_map_users=200,
    steps=450,  # the loss falls in steps: at 300, one of six runs on LaMP-2 had not got through
    epochs=1,
    visits=1,
    batch_size=32,
    micro_batch=32,
    learning_rate=5e-3,  # a small LLM needs far more than the paper's 1e-4 to move in this few steps
    n_soft_tokens=4,  # the paper's 1 is 4,096 numbers wide with its LLM, and 256 with the stand-in; see lesson 04
    items_as_questions=True,
    checkpointing=False,
    train_input_encoder=False,
    encoder="minilm",
    llm="standin",
    beams=1,
    bootstrap=2000,
)

SMOKE = replace(  # does every cell run? Its numbers mean nothing
    DEFAULT, name="smoke", n_users=20, n_test=20, n_map_users=20, steps=20, learning_rate=1e-2, bootstrap=1000
)

LAPTOP = replace(  # real LaMP and a real LLM on a processor: a subset of the users, a small LLM
    DEFAULT,
    name="laptop",
    n_users=500,
    steps=600,
    micro_batch=8,
    learning_rate=1e-3,
    encoder="BAAI/bge-small-en-v1.5",
    llm="google/flan-t5-small",
    data="data/time",
)

PAPER = Profile(  # the paper's own (Section 4): bfloat16 on a GPU, LaMP-3 for one epoch
    name="paper",
    n_users=None,
    n_test=None,
    n_map_users=1000,
    steps=None,
    epochs=2,
    visits=1,
    batch_size=64,
    micro_batch=16,
    learning_rate=1e-4,
    n_soft_tokens=1,
    items_as_questions=False,
    checkpointing=True,
    train_input_encoder=True,
    encoder="BAAI/bge-base-en-v1.5",
    llm="google/flan-t5-xxl",
    beams=4,
    bootstrap=2000,
    data="data/time",
)

GPU = replace(PAPER, name="gpu", llm="google/flan-t5-xl")  # the smaller LLM of the paper's Table 2
LLAMA = replace(PAPER, name="llama", llm="meta-llama/Llama-3.1-8B-Instruct")
QWEN = replace(PAPER, name="qwen", llm="Qwen/Qwen2.5-7B-Instruct")

PROFILES = {profile.name: profile for profile in (SMOKE, DEFAULT, LAPTOP, GPU, PAPER, LLAMA, QWEN)}


def get_profile(name: str | None = None) -> Profile:
    """Look up a profile.

    Args:
        name: Its name; if None, the value of `PPLUG_PROFILE`, and `default` where that is not set or empty.

    Returns:
        The profile, with the data folder and LLM of `PPLUG_DATA` and `PPLUG_LLM` where those are set; their last parts
        are then added to its name, so that records of own runs never stand among the committed ones. Paths are
        absolute: given ones are taken from the current folder, a profile's own from the checkout.

    Raises:
        InputError: There is no profile of that name.
    """
    name = name or os.environ.get(VARIABLE) or DEFAULT.name
    if name not in PROFILES:
        raise InputError(f"no profile is called {name!r}; {VARIABLE} may be one of: {', '.join(PROFILES)}")
    profile = PROFILES[name]
    if profile.data not in (None, CHATS):
        profile = replace(profile, data=str(project_folder() / profile.data))
    given = {field: os.environ[variable] for variable, field in OWN.items() if os.environ.get(variable)}
    own = {field: _absolute(value, field) for field, value in given.items()}
    return replace(profile, **own, name="-".join([name, *(Path(value).name for value in own.values())]))


def _absolute(value: str, field: str) -> str:
    """A path as it stands in the current folder: notebooks run in another. An LLM that is no path is a name."""
    path = Path(value).expanduser().absolute()
    return str(path) if path.exists() or (field == "data" and value != CHATS) else value


def training_steps(profile: Profile, task, examples: int) -> int:
    """Optimiser steps of one plug training.

    Args:
        profile: Tells `steps`, or else epochs, visits and batch size.
        task: A `Task`; LaMP-3, which has the most questions, has one epoch of its own, as in the paper.
        examples: How many there are to train on.
    """
    epochs = task.epochs or profile.epochs
    return profile.steps or max(1, epochs * profile.visits * examples // profile.batch_size)


def card(profile: Profile) -> str:
    """Every choice of a profile in a few lines: the run card at the top of a notebook."""
    learnt = "trained" if profile.train_input_encoder else "frozen under a trained linear map"
    visits = f", {profile.visits} visits each," if profile.visits > 1 else ""
    length = f"{profile.steps} steps" if profile.steps else f"{profile.epochs} epochs (LaMP-3: 1){visits}"
    questions = "train questions and history items" if profile.items_as_questions else "train questions"
    parts = f", {profile.micro_batch} at once" if profile.micro_batch < profile.batch_size else ""
    parts += ", layers computed again" if profile.checkpointing else ""
    parts += ", LLM spread over processes" if profile.sharded else ""
    decoding = f"{profile.beams} beams" if profile.beams > 1 else "greedy"
    users = (
        f"{profile.n_users or 'all'} {f'users in {shown_path(profile.data)}' if profile.data else 'simulated users'}"
    )
    tested = f"at most {profile.n_test} tested" if profile.n_test else "all tested"
    return "\n".join(
        [
            f"LLM {profile.llm}, frozen · encoder {profile.encoder}, frozen · input encoder {learnt}",
            f"training: {length} of {profile.batch_size} {questions}{parts} · learning rate {profile.learning_rate:g}",
            f"{profile.n_soft_tokens} soft token{'s' * (profile.n_soft_tokens > 1)} a user · {decoding} · {users}, "
            f"{tested} · {profile.bootstrap:,} resamples",
        ]
    )


def shown_path(path: str | None) -> str | None:
    """A path as it is shown and recorded: inside the checkout without what leads there, which is this machine's."""
    if path is None:
        return None
    return str(Path(path).relative_to(project_folder())) if Path(path).is_relative_to(project_folder()) else path
