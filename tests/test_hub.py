"""hub.py and card.py against a hub of this test's own, a folder; nothing is sent anywhere."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch

from pplug.base.errors import InputError
from pplug.method.hub import plug_file
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM, build


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder with a folder for each repository, in place of the hub's three calls."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    root = tmp_path / "hub"

    class Api:
        def __init__(self, token=None):
            self.token = token

        def create_repo(self, repo_id, private=None, exist_ok=False):
            assert exist_ok and "/" in repo_id
            (root / repo_id).mkdir(parents=True, exist_ok=True)
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(self, repo_id, folder_path, commit_message, revision, create_pr):
            assert commit_message and revision is None and not create_pr
            shutil.copytree(folder_path, root / repo_id, dirs_exist_ok=True)
            return f"https://hub/{repo_id}/commit/1"

    def download(repo_id, filename):
        if not (root / repo_id / filename).exists():
            raise LocalEntryNotFoundError(f"{repo_id} is not there")
        return str(root / repo_id / filename)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("pplug.method.saved.load_encoder", lambda name, **_: tiny.MadeUpEncoder(name))
    return root


@pytest.fixture
def model(tmp_path):
    folder = tiny.save_llm("t5", tmp_path / "private" / "my-llm")
    facts = {"llm": str(folder), "encoder": "made-up", "task": "LaMP-4", "data_hash": "d" * 64}
    return build(*load_llm(str(folder)), tiny.MadeUpEncoder(), None, facts, soft_tokens=2)


def test_what_is_pushed_can_be_loaded_by_its_id(hub, model, tmp_path):
    assert model.push_to_hub("ann/plug") == "https://hub/ann/plug/commit/1"
    assert sorted(path.name for path in (hub / "ann" / "plug").iterdir()) == ["README.md", "plug.safetensors"]
    loaded = PersonalizedLM.from_pretrained("ann/plug", llm=model.facts["llm"])
    assert tiny.weight_hash(loaded.plug) == tiny.weight_hash(model.plug)


def test_no_path_of_this_machine_is_uploaded(hub, model, tmp_path):
    model.push_to_hub("ann/plug")
    assert model.facts["llm"] == str(tmp_path / "private" / "my-llm"), "the model keeps it"
    sent = b"".join(path.read_bytes() for path in (hub / "ann" / "plug").iterdir())
    assert b"private" not in sent and b"my-llm" in sent


def test_a_folder_of_the_machine_comes_before_the_hub(hub, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save_pretrained(tmp_path / "ann" / "plug")
    assert plug_file("ann/plug").resolve() == tmp_path / "ann" / "plug" / "plug.safetensors"


@pytest.mark.parametrize("name", ["no/such-plug", "./no/such-plug", "nowhere", "a/b/c", "/no/such"])
def test_a_plug_that_is_nowhere_is_told(hub, name):
    with pytest.raises(FileNotFoundError, match=r"no (saved plug here|such folder, and no repository of the hub)"):
        PersonalizedLM.from_pretrained(name)


def test_a_plug_that_diverged_is_not_uploaded(hub, model):
    with torch.no_grad():
        model.plug.no_history[0] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        model.push_to_hub("ann/plug")
    assert not hub.exists()


def test_the_card_says_what_the_plug_is_needs_and_cannot(hub, model):
    model.facts |= {"llm": "google/flan-t5-small", "llm_revision": "c" * 40}
    rows = {"the plug": {"rouge1": {"mean": 0.5, "low": 0.4, "high": 0.61}}, "no personalisation": {"rougeL": None}}
    model.facts["scores"] = rows
    model.push_to_hub("ann/plug")
    card = (hub / "ann" / "plug" / "README.md").read_text()
    head = card.split("---")[1]
    assert 'base_model: "google/flan-t5-small"' in head and 'library_name: "pplug"' in head
    for told in (
        "LaMP-4",
        "headline",
        "`google/flan-t5-small` at commit `cccc",
        "`made-up`",
        f"`{'d' * 64}`",
        'PersonalizedLM.from_pretrained("ann/plug")',
        "| the plug | 0.500 [0.400, 0.610] | - |",
        "| no personalisation | - | - |",
        "3 soft tokens",
        "## Limits",
    ):
        assert told in card, told
    del model.facts["scores"], model.facts["data_hash"]
    model.push_to_hub("ann/other")
    card = (hub / "ann" / "other" / "README.md").read_text()
    assert "None are recorded" in card and "not recorded" in card


def test_the_card_s_head_is_yaml_whatever_the_names(hub, model):
    import yaml

    model.facts["llm"] = 'owner/"odd": #name'
    model.push_to_hub("ann/plug")
    head = (hub / "ann" / "plug" / "README.md").read_text().split("---\n")[1]
    assert yaml.safe_load(head)["base_model"] == 'owner/"odd": #name'


def test_the_plug_that_ships_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plug_file("chat").is_file() and plug_file("chat").stat().st_size < 5 * 2**20
    (tmp_path / "chat").mkdir()
    assert plug_file("chat") == Path("chat") / "plug.safetensors", "a folder of one's own comes first"
