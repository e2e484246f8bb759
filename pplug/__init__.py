"""PPlug rebuilt small: a frozen LLM, personalised by one embedding of a user's history."""

import importlib
import warnings
from typing import TYPE_CHECKING

# tqdm's advice to install widgets, given when a library first imports it in a notebook, would stay in the outputs.
warnings.filterwarnings("ignore", "IProgress not found")

__version__ = "0.1.0"
HOMES = {  # what is public → where it lives; imported when first asked for, since torch takes seconds
    "PersonalizedLM": "pplug.method.personalized",
    "User": "pplug.method.user",
    "UserStore": "pplug.method.user_store",
    "Task": "pplug.data.tasks",
    "PlugConfig": "pplug.method.plug_config",
    "train": "pplug.method.training",
    "load_llm": "pplug.method.llm_loading",
    "load_encoder": "pplug.method.encoders",
    "evaluate": "pplug.method.evaluation",
}
__all__ = [  # noqa: RUF022 in the order a reader meets them
    "PersonalizedLM",
    "User",
    "UserStore",
    "Task",
    "PlugConfig",
    "train",
    "load_llm",
    "load_encoder",
    "evaluate",
    "__version__",
]

if TYPE_CHECKING:
    from pplug.data import Task
    from pplug.method import PersonalizedLM, PlugConfig, User, UserStore, evaluate, load_encoder, load_llm, train


def __getattr__(name: str):
    if name not in HOMES:
        raise AttributeError(f"module 'pplug' has no attribute {name!r}")
    globals()[name] = value = getattr(importlib.import_module(HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
