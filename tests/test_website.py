"""The pages of the site lie as in the repository. `make docs`, which CI runs too, builds them, links checked."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tools import website

REPOSITORY = "someone/something"


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    website.lay_out(folder, REPOSITORY)
    return folder


def test_every_page_is_in_the_contents(pages):
    trees = "\n".join(
        re.findall(r"```\{toctree\}\n(.*?)```", (pages / "index.md").read_text(encoding="utf-8"), re.DOTALL)
    )
    listed = {line for line in trees.splitlines() if line and line[0] != ":"}
    made = {
        str(path.relative_to(pages).with_suffix("")) for path in pages.rglob("*") if path.suffix in (".md", ".ipynb")
    }
    assert listed == made - {"index"}


def test_every_link_has_its_page_or_file(pages):
    for path in pages.rglob("*.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_every_module_is_in_the_reference(pages):
    listed = set(re.findall(r"automodule:: (\S+)", "".join(p.read_text("utf-8") for p in pages.glob("api/*.md"))))
    modules = {path.relative_to(website.ROOT) for path in website.ROOT.glob("pplug/*/*.py") if path.stem != "__init__"}
    assert listed == {".".join(path.with_suffix("").parts) for path in modules}


def test_badges_open_the_lesson_and_say_how_to_install(pages):
    for path in pages.glob("notebooks/*.ipynb"):
        title, shown, *_ = json.loads(path.read_text(encoding="utf-8"))["cells"]
        links = re.findall(r"\]\((https://[^)]+)\)\n", shown["source"])
        assert "".join(title["source"]).startswith("# ") and len(links) == 2
        assert all(REPOSITORY in link and f"notebooks/{path.name}" in unquote(link) for link in links)
        assert f"git clone --depth 1 https://github.com/{REPOSITORY}" in shown["source"]


def test_without_a_repository_a_lesson_has_no_badges():
    path = next(website.ROOT.glob("notebooks/*.ipynb"))
    shown, kept = json.loads(website.lesson(path, "")), json.loads(path.read_text(encoding="utf-8"))
    parts = [[[cell["id"], cell["source"], cell.get("outputs")] for cell in some["cells"]] for some in (shown, kept)]
    assert parts[0] == parts[1]


def test_what_was_laid_out_before_goes(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "old.md").touch()
    website.lay_out(tmp_path / "site")
    assert not (tmp_path / "site" / "old.md").exists()


def test_folded_cells_and_alternative_texts_stand_where_the_site_looks(tmp_path):
    figure = {"output_type": "display_data", "data": {"image/png": ""}, "metadata": {"image/png": {"alt": "who gains"}}}
    cells = [
        {"cell_type": "code", "metadata": {"jupyter": {"source_hidden": True}}, "outputs": [figure], "source": ""},
        {"cell_type": "code", "metadata": {}, "outputs": [], "source": ""},
    ]
    path = tmp_path / "00_some.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    folded, plain = json.loads(website.lesson(path, ""))["cells"]
    assert folded["metadata"]["tags"] == ["hide-input"]
    assert folded["metadata"]["mystnb"] == {"image": {"alt": "who gains"}}
    assert plain["metadata"] == {}
