"""What every test gets: no network, two threads, no display, an empty cache of its own."""

import os

# Before anything imports torch, matplotlib or the Hugging Face libraries, which read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["PPLUG_PROFILE"] = "smoke"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # else a warning from each process that is forked later
os.environ.pop("CI", None)  # progress lines heed this one; a test that wants one of these sets it
os.environ.pop("PPLUG_QUIET", None)
os.environ.pop("PPLUG_DATA", None)
os.environ.pop("PPLUG_LLM", None)

from pathlib import Path

import pytest
from effort import NIGHTLY
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# No deadline: a shared machine may pause for longer. The same examples each time, so that a red run can be repeated;
# at night others each time, and a red run prints how to repeat it.
settings.register_profile("pplug", deadline=None, derandomize=not NIGHTLY, print_blob=True)
settings.load_profile("pplug")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory) -> Path:
    """The cache folder of this test session, empty at its start."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PPLUG_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", params=["t5", "qwen"])
def llm(request, tmp_path_factory):
    """A small LLM of each kind, encoder-decoder and decoder-only, with its tokenizer."""
    import tiny

    from pplug.method.llm_loading import load_llm

    return load_llm(str(tiny.save_llm(request.param, tmp_path_factory.mktemp(request.param))))


@pytest.fixture(scope="session")
def t5(tmp_path_factory):
    """The encoder-decoder one alone."""
    import tiny

    from pplug.method.llm_loading import load_llm

    return load_llm(str(tiny.save_llm("t5", tmp_path_factory.mktemp("t5"))))


@pytest.fixture(scope="session")
def tiny_profile(tmp_path_factory):
    """A profile of six users and one training step, with an LLM and an encoder that take no time."""
    from dataclasses import replace

    import families
    import tiny

    from pplug.config import SMOKE

    llm = str(tiny.save_llm("t5", tmp_path_factory.mktemp("llm")))
    encoder = families.save_family("bge", tmp_path_factory.mktemp("bge"), ["a headline of the article"] * 9)
    sizes = {"n_users": 6, "n_test": 4, "steps": 1, "batch_size": 4, "bootstrap": 40}
    return replace(SMOKE, llm=llm, encoder=encoder, **sizes)


@pytest.fixture
def model(llm):
    """That LLM with a new plug in front."""
    import tiny
    import torch

    from pplug.method.personalized import build

    torch.manual_seed(0)
    return build(*llm, tiny.MadeUpEncoder())


@pytest.fixture(scope="session")
def realdata() -> Path:
    """A folder with a few real LaMP files, which may not be redistributed and so is not in the repository."""
    folder = ROOT.parent / "shared" / "realdata"
    if not folder.is_dir():
        pytest.skip("needs real LaMP files in ../shared/realdata, which are not part of the repository")
    return folder


@pytest.fixture(scope="module")
def chatting(tmp_path_factory):
    """The study of real people on invented chats, a tiny LLM with its first layer and habits as encoder, one step."""
    import json
    from dataclasses import replace

    import tiny
    from chitchat import made_chats

    from pplug.sources import chat
    from pplug.study import experiment, people

    folder = tmp_path_factory.mktemp("people")
    (folder / "dataset.json").write_text(json.dumps(made_chats()))
    with pytest.MonkeyPatch.context() as patch:
        chat.write_chats(folder / "dataset.json", folder / "chats")
        llm = str(tiny.save_llm("llama", folder / "llm", chat=True))
        patch.setattr(experiment, "chat_folder", lambda task: folder / "chats" / task)
        patch.setattr(people, "PROFILE", replace(people.PROFILE, llm=llm, encoder=f"{llm}:1+style"))
        patch.setattr(people, "FIRST", 1), patch.setattr(people, "STEPS", 1), patch.setattr(people, "BATCH", 4)
        yield people.prepared_people()
