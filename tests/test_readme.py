"""The README's tables come from the records and are up to date."""

import os
import re
import subprocess
import sys

import pytest

from tools import readme


def test_every_table_in_the_readme_is_what_the_records_say(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text(readme.README.read_text(encoding="utf-8"), encoding="utf-8")
    readme.update(copy)
    assert copy.read_text(encoding="utf-8") == readme.README.read_text(encoding="utf-8"), "run `python -m tools.readme`"


def test_a_table_without_a_place_is_an_error(tmp_path):
    (tmp_path / "README.md").write_text("no tables here")
    with pytest.raises(ValueError, match="table: lessons"):
        readme.update(tmp_path / "README.md")


def test_every_notebook_is_a_lesson_and_every_link_resolves():
    folder = readme.README.parent
    assert {p.stem for p in (folder / "notebooks").glob("*.ipynb")} == set(readme.GOALS)
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme.README.read_text(encoding="utf-8"))
    assert links and all((folder / link).exists() for link in links)


def test_the_readmes_paper_to_code_map_names_what_exists():
    import importlib

    text = readme.README.read_text(encoding="utf-8")
    for module, name in re.findall(r"`method\.(\w+)\.(\w+)", text):
        if name != "py":
            assert hasattr(importlib.import_module(f"pplug.method.{module}"), name), f"{module}.{name}"
    for test in re.findall(r"`(test_\w+\.py)`", text):
        assert (readme.README.parent / "tests" / test).exists(), test


@pytest.mark.long
def test_the_readmes_use_runs_and_prints_what_it_says(tmp_path):
    """Numbers and texts are this machine's; how many lines there are, and the shapes, are not."""
    text = readme.README.read_text(encoding="utf-8")
    code, said = re.search(r"<!-- use it -->\n```python\n(.*?)```\n\n```\n(.*?)```", text, re.DOTALL).groups()
    for number, fewer in {"240": "40", "160": "30", "162": "32", "150": "2"}.items():  # users and steps: minutes
        assert number in code
        code = code.replace(number, fewer)
    command = [sys.executable, "-c", code]
    place = {**os.environ, "PYTHONPATH": str(readme.README.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed, said = done.stdout.splitlines(), said.splitlines()
    assert len(printed) == len(said)
    assert [line for line in printed if line.startswith("(")] == [line for line in said if line.startswith("(")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ann.safetensors", "my_plug"]
