"""The README is one screen, and the tables of README and docs/ come from the records and are up to date."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import front, readme

README = readme.ROOT / "README.md"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in readme.pages()}
LARGEST = 8000  # bytes of the README
COLUMNS = 6
WIDEST = 100  # letters in a row of the table of results: 700 px


def tables(text: str) -> list[list[list[str]]]:
    """The Markdown tables of a text, as they are read: links without their addresses."""
    found = re.findall(r"(?:^\|.*\n)+", re.sub(r"\[(.*?)\]\(.*?\)|\*\*", r"\1", text), re.M)
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()] for table in found]


def test_every_table_is_what_the_records_say(tmp_path):
    shutil.copy(README, tmp_path)
    shutil.copytree(readme.ROOT / "docs", tmp_path / "docs")
    readme.update(tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in readme.pages(tmp_path)}
    assert [name for name in TEXTS if written[name] != TEXTS[name]] == [], "run `python -m tools.readme`"


def test_a_table_without_a_place_is_an_error(tmp_path):
    (tmp_path / "README.md").write_text("no tables here")
    with pytest.raises(ValueError, match="table: replies"):
        readme.update(tmp_path)


def test_every_table_has_one_place():
    assert sorted(re.findall(r"<!-- table: ([\w-]+) -->", "\n".join(TEXTS.values()))) == sorted(readme.TABLES)


def test_the_readme_is_one_screen():
    assert README.stat().st_size <= LARGEST
    commands = re.search(r"^## Two commands\n\n```bash\n(.*?)```", TEXTS["README.md"], re.DOTALL | re.M)[1].splitlines()
    assert [command.split()[:2] for command in commands] == [["make", "run"], ["make", "test"]]
    assert all(len(row) <= COLUMNS for table in tables(TEXTS["README.md"]) for row in table)


def test_its_one_table_of_results_is_the_real_peoples_and_narrow():
    before, _, results = TEXTS["README.md"].partition("## Results")
    first, *others = tables(results)
    assert others == [] and "nats" in first[0][1] and "own history" in str(first)
    assert max(len(" | ".join(row)) for row in first) <= WIDEST
    assert "nats" not in str(tables(before))


def test_it_shows_what_the_real_llm_answered_in_lesson_00():
    shown, *_ = tables(TEXTS["README.md"])
    assert len(shown) - 2 == 3 and shown[0][0] == "user embedding"


def test_nothing_is_called_an_upper_bound_that_the_plug_beats():
    assert not re.search(r"\bupper\b", "\n".join(TEXTS.values()))


def test_every_notebook_is_a_lesson():
    assert {path.stem for path in (readme.ROOT / "notebooks").glob("*.ipynb")} == set(front.GOALS)


def test_every_module_is_on_the_map():
    listed = set(re.findall(r"`(\w+)`", TEXTS["code.md"].split("## From paper")[0]))
    modules = {path.stem for folder in ("pplug/*", "tools") for path in readme.ROOT.glob(f"{folder}/*.py")}
    assert modules - {"__init__"} - listed == set()


def test_the_paper_to_code_map_names_what_exists():
    text = "\n".join(TEXTS.values())
    assert len(re.findall(r"`method\.(\w+)\.(\w+)", text)) > 5
    for module, name in re.findall(r"`method\.(\w+)\.(\w+)", text):
        if name != "py":
            assert hasattr(importlib.import_module(f"pplug.method.{module}"), name), f"{module}.{name}"
    for test in re.findall(r"`(test_\w+\.py)`", text):
        assert (readme.ROOT / "tests" / test).exists(), test


@pytest.mark.long
def test_use_it_runs_and_prints_what_it_says(tmp_path):
    """Numbers and texts are this machine's; how many lines there are, and the shapes, are not.

    The block of docs/serving.md goes on where the README's ends.
    """
    form = r"<!-- use it%s -->\n```python\n(.*?)```\n\n```\n(.*?)```"
    blocks = [("README.md", ""), ("serving.md", ", continued")]
    found = [re.search(form % more, TEXTS[name], re.DOTALL).groups() for name, more in blocks]
    code, said = ("".join(parts) for parts in zip(*found, strict=True))
    for number, fewer in {"240": "40", "160": "30", "162": "32", "150": "2"}.items():  # users and steps: minutes
        assert number in code
        code = code.replace(number, fewer)
    place = {**os.environ, "PYTHONPATH": str(readme.ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed, said = done.stdout.splitlines(), said.splitlines()
    assert len(printed) == len(said)
    assert [line for line in printed if line.startswith("(")] == [line for line in said if line.startswith("(")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ann.safetensors", "my_plug"]


def test_links_lead_somewhere():
    """In README, docs/, CONTRIBUTING and the others at the top: files, and headings where a link names one."""
    paths = [*readme.pages(), *(readme.ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "LICENCES.md"))]
    for path in paths:
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text(encoding="utf-8")):
            name, _, heading = link.partition("#")
            target = path.parent / name if name else path
            assert target.exists(), f"{path.name}: {link}"
            assert not heading or heading in headings(target), f"{path.name}: {link}"


def headings(path: Path) -> set[str]:
    """What a page's headings are called in links."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
