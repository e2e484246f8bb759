"""pyproject.toml, constraints.txt, environment.yml, the workflow and what is installed say the same."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT_TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PROJECT_TEXT)["project"]
EXTRAS = PROJECT["optional-dependencies"]
OTHERS = f"{PROJECT['name']}[notebooks,rivals,maps,docs]"  # what the extra `dev` takes from the others
DECLARED = [line for line in [*PROJECT["dependencies"], *chain(*EXTRAS.values())] if line != OTHERS]
# What the CUDA build of torch adds on Linux; it pins these itself.
CUDA = re.compile(r"(nvidia|cuda|triton)")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s+;]+)", line) for line in lines if line and line[0] != "#"]
    assert all(pins), "a line is no exact pin without a local version"
    return {normal(pin[1]): pin[2] for pin in pins}


PINS = read_constraints()


def needed() -> set[str]:
    """The declared dependencies and theirs, as the installed distributions tell."""
    found, waiting = set(), [Requirement(line) for line in DECLARED]
    while waiting:
        requirement = waiting.pop()
        extras = {"", *requirement.extras}
        for extra in extras:
            key = (normal(requirement.name), extra)
            if key in found or CUDA.match(key[0]):
                continue
            found.add(key)
            for line in distribution(requirement.name).requires or []:
                child = Requirement(line)
                if child.marker is None or child.marker.evaluate({"extra": extra}):
                    waiting.append(child)
    return {name for name, _ in found}


def declared_lines() -> list[str]:
    lines = [line.strip() for line in PROJECT_TEXT.splitlines()]
    return [line for line in lines if any(line.startswith(f'"{dependency}"') for dependency in DECLARED)]


def test_every_dependency_has_its_reason():
    lines = declared_lines()
    assert len(lines) == len(DECLARED) == len({normal(Requirement(line).name) for line in DECLARED})
    for line in lines:
        assert re.fullmatch(r'"[^"]+", # \S.{9,}', line), line


def lower_bounds(lines: list[str]) -> dict[str, str]:
    """What the nightly job `bounds` installs of each dependency: its lower bound, or its pin."""
    bounds = {}
    for line in lines:
        requirement = Requirement(line)
        found = [part.version for part in requirement.specifier if part.operator in (">=", "==")]
        assert len(found) == 1, f"{line}: no lower bound"
        bounds[normal(requirement.name)] = found[0]
    return bounds


def test_every_dependency_has_a_lower_bound_and_the_pin_is_allowed():
    assert set(lower_bounds(DECLARED)) <= set(PINS)
    for line in DECLARED:
        requirement = Requirement(line)
        assert requirement.specifier.contains(PINS[normal(requirement.name)]), line


@pytest.mark.parametrize("line", ["numpy", "numpy<3", "numpy!=2.1"])
def test_a_missing_lower_bound_would_be_noticed(line):
    with pytest.raises(AssertionError, match="no lower bound"):
        lower_bounds([line])


def test_the_constraints_are_what_the_project_needs():
    unpinned, unneeded = needed() - set(PINS), set(PINS) - needed()
    assert not unpinned, "installed for the project, but not in constraints.txt"
    if sys.platform == "linux":
        assert not unneeded, "in constraints.txt, but nothing needs it"


def test_the_constraints_are_sorted_and_installed():
    assert list(PINS) == sorted(PINS)
    installed = {name: distribution(name).version.split("+")[0] for name in needed()}
    assert installed == {name: PINS[name] for name in installed}


def test_torch_is_a_range_and_pinned():
    """Recorded numbers are of one version; whoever installs the package may have another."""
    (torch,) = (line for line in PROJECT["dependencies"] if line.startswith("torch"))
    assert "==" not in torch and "<" in torch
    assert PINS["torch"] == "2.13.0"


def test_the_extra_for_development_holds_the_others():
    assert OTHERS in EXTRAS["dev"] and set(EXTRAS) == {"dev", *Requirement(OTHERS).extras}


@pytest.mark.fault(19)
def test_the_core_is_light():
    """To use a plug nobody needs notebooks, figures, rivals or a map."""
    core = {normal(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert not core & {"jupyterlab", "ipykernel", "nbclient", "nbformat", "matplotlib", "peft", "bm25s", "umap-learn"}


def test_conda_installs_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, by_pip = environment["dependencies"]
    assert python.split("=")[0] == "python"
    assert pip == "pip"
    assert by_pip == {"pip": ["-c constraints.txt", "-e .[dev]"]}, "versions belong into constraints.txt"


def test_the_makefile_installs_the_same():
    assert '-c constraints.txt -e ".[dev]"' in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_binder_installs_the_same():
    script = ROOT / ".binder" / "postBuild"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert 'python -m pip install --no-cache-dir -c constraints.txt -e ".[notebooks,rivals,maps]"' in lines
    assert any(line.endswith("--no-deps --require-hashes -r packaged.txt") for line in lines)


def test_python_versions_agree():
    oldest = re.fullmatch(r">=(3\.\d+)", PROJECT["requires-python"])[1]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    tested = jobs["test"]["strategy"]["matrix"]["python"]
    classified = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert tested == classified
    assert f"python-{oldest}" == (ROOT / ".binder" / "runtime.txt").read_text(encoding="utf-8").strip()
    assert tested[0] == oldest == environment["dependencies"][0].split("=")[1]
    assert f"< ({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text(encoding="utf-8")


def imported() -> dict[str, str]:
    """Each top-level package that is imported somewhere in the repository, and one place where."""
    places = {}
    sources = {
        path: path.read_text(encoding="utf-8")
        for folder in ("pplug", "benchmarks", "tests", "tools", "docs")
        for path in ROOT.glob(f"{folder}/**/*.py")
    }
    for path in ROOT.glob("notebooks/*.ipynb"):
        cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
        lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
        sources[path] = "\n".join("" if line.lstrip()[:1] in ("%", "!") else line for line in lines)
    for path, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            else:
                continue
            places |= {module.split(".")[0]: path.name for module in modules}
    return places


def test_every_import_is_declared():
    providers = packages_distributions()
    declared = {normal(Requirement(line).name) for line in DECLARED}
    own = {"pplug", "benchmarks", "tools", "conftest", *(path.stem for path in ROOT.glob("tests/*.py"))}
    for module, place in imported().items():
        if module in sys.stdlib_module_names or module in own:
            continue
        names = {normal(name) for name in providers.get(module, [])}
        assert names & declared, f"{place} imports {module}, which pyproject.toml does not declare"


def test_a_lesson_finds_what_is_in_the_checkout():
    own = [name for name, place in imported().items() if place.endswith(".ipynb") and (ROOT / name).is_dir()]
    assert "benchmarks" in own  # which is in no wheel
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # A kernel starts in the notebook's folder, whether JupyterLab, nbmake or tools.notebooks starts it.
    command = [sys.executable, "-c", f"import {', '.join(own)}"]
    done = subprocess.run(command, cwd=ROOT / "notebooks", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_package_index_is_named():
    for name in (
        "pyproject.toml",
        "constraints.txt",
        "environment.yml",
        "Makefile",
        ".ci/run",
        ".github/workflows/ci.yml",
        ".github/workflows/nightly.yml",
        ".github/workflows/pages.yml",
        ".binder/postBuild",
    ):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"index-url|find-links|https?://", text), name


def test_ci_runs_lint_tests_and_the_site():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.findall(r"^make \w+$", script.read_text(encoding="utf-8"), re.M) == [
        "make lint",
        "make test",
        "make docs",
    ]
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize("target", ["run", "test", "docs", "lint", "lab", "results", "help"])
def test_make_has_the_target_and_explains_it(target):
    assert re.search(rf"^{target}:.* ## \S", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


def test_make_names_tests_that_exist():
    listed = re.search(r"^TRUST := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1].split()
    assert [name for name in listed if not (ROOT / "tests" / f"test_{name}.py").exists()] == []


def test_the_citation_is_the_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = citation["preferred-citation"]
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert len(paper["authors"]) == 9
    assert "2409.11901" in str(paper["identifiers"])
