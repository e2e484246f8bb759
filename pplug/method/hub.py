"""Plugs on the Hugging Face hub: a repository holds `plug.safetensors` and a model card, nothing else."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from pplug.base import PACKAGE, SHOWN, write_text
from pplug.method.card import model_card
from pplug.method.saved import FILE, facts_of, write_plug

SHIPPED_PLUGS = {"chat": PACKAGE / "weights" / "chat"}  # name → folder
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def plug_file(folder_or_repo: str | Path) -> Path:
    """Where a saved plug's file lies: in a folder of this machine, else in the hub's cache, downloaded on demand.

    Raises:
        FileNotFoundError: It is the id of a repository, and there is no such plug on the hub, or it is not reached.
    """
    folder = Path(folder_or_repo)
    if not folder.exists():
        folder = SHIPPED_PLUGS.get(str(folder_or_repo), folder)
    if folder.exists() or not REPOSITORY.fullmatch(str(folder_or_repo)):
        return folder / FILE
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(str(folder_or_repo), FILE))
    except (HfHubHTTPError, OSError, ValueError) as error:
        told = f"no such folder, and no repository of the hub with a {FILE} that can be reached"
        raise FileNotFoundError(f"{folder_or_repo}: {told}: {str(error)[:SHOWN]}") from error


def push(
    model,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    commit_message: str = "Upload a plug",
    create_pr: bool = False,
) -> str:
    """Upload a model's plug with a generated model card.

    A path of this machine stays here: an LLM or encoder that was loaded from a folder is named by the folder's last
    part, and whoever loads the plug gives it by `llm=` or `encoder=`.

    Args:
        model: A `PersonalizedLM`.
        repo_id: `"owner/name"`; the repository is made if it is not there.
        private: Whether a new repository is private; the owner's default if None.
        token: Of the hub; the one of `hf auth login` if None.
        revision: The branch.
        commit_message: Of the commit.
        create_pr: Whether to open a pull request instead.

    Returns:
        The address of the commit.

    Raises:
        InputError: A weight of the plug is not finite.
    """
    from huggingface_hub import HfApi

    facts = facts_of(model)
    facts |= {what: Path(facts[what]).name for what in ("llm", "encoder") if Path(facts[what]).exists()}
    with TemporaryDirectory() as folder:
        write_plug(Path(folder), model.plug, model.state_dict(), facts)
        write_text(Path(folder) / "README.md", model_card(facts, model.plug, repo_id))
        api = HfApi(token=token)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        how = {"commit_message": commit_message, "revision": revision, "create_pr": create_pr}
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, **how))
