"""The house: which room may import which, no circle of imports, small files, a docstring and a test file for each."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What a room may import; a room is a folder of `pplug/`, or a file at its top.
MAY_IMPORT = {
    "base": set(),
    "config": {"base"},
    "data": {"base"},
    "method": {"base", "data"},
    "sources": {"base", "data", "method", "config"},
    "offline": {"base", "data", "method", "config"},
    "rivals": {"base", "data", "method", "config", "offline"},
    "study": {"base", "data", "method", "config", "offline", "rivals", "sources"},
}
EVERYTHING = set(MAY_IMPORT) | {"study", "insight", "arguments"}
MAY_IMPORT |= {name: EVERYTHING - {name} for name in ("insight", "arguments", "__main__", "__init__")}
EDGES_A_MODULE = 1.35  # imports into another room; before there were rooms, 57 modules had 251 imports of one another
FAULTS = set(range(1, 35))  # of issue 15
LONGEST = 300  # lines of a file
LONGER = {  # files that may be longer, each with its reason: one subject in sections, whose helpers are the same
    "tests/test_fuzz.py": "damaged files of every kind, through one harness",
    "tests/test_hostile.py": "171 cases by name",
    "tests/test_loading.py": "what the loader makes of files, and what it refuses",
}
MIRROR = {  # modules that are tested where they are used: module → test file
    "__main__": "main",
    "ablations": "compare",  # its groups are run there
    "arguments": "main",  # the command line is tested as a whole
    "card": "hub",  # the card that is pushed
    "decoding": "llm_loading",
    "errors": "loading",  # the errors of data files
    "finite": "training",
    "joining": "llm_check",  # against the LLM on its own token ids
    "lamp_tasks": "tasks",
    "lamp_files": "loading",
    "make_standin": "main",  # as a command
    "names": "tables",
    "personalized": "api",
    "reading": "hostile",
    "scores": "tables",
    "answering": "api",
    "setting": "rows",
    "lexicon": "world",  # words, for the world's sentences
    "paper": "tables",  # the paper's figures, shown in tables
    "plug_config": "embedder",  # each choice is tested by what the plug then computes
    "systems": "methods",  # a part of that list
    "standin_check": "standin_training",  # what the stand-in can be shown to use
}


def module_name(path: Path) -> str:
    """`pplug.data.tasks` for `pplug/data/tasks.py`, `pplug.data` for the room's `__init__.py`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.glob("pplug/**/*.py"))}


def room(module: str) -> str:
    """The folder or top file that a module is in."""
    return [*module.split("."), "__init__"][1]


def imports(source: str, module: str, modules) -> set[str]:
    """Which of `modules` a module's source imports, in functions too; a name that is no module counts as its owner's.

    `from pplug.data import Task` is an import of `pplug.data`, and `from pplug.data import tasks` of that file.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: an import by dots"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in inner}
    return (found & set(modules)) - {module}


@cache
def graph() -> dict[str, set[str]]:
    """Each module, with the modules that it imports."""
    return {name: imports(path.read_text(encoding="utf-8"), name, MODULES) for name, path in MODULES.items()}


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, the first again at its end; none if there is none."""
    done, way = set(), []

    def visit(name: str) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        way.append(name)
        for other in sorted(edges.get(name, ())):
            if found := visit(other):
                return found
        way.pop()
        done.add(name)
        return []

    for name in edges:
        if found := visit(name):
            return found
    return []


def crossings(edges: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The imports that lead into another room."""
    pairs = ((name, other) for name, others in edges.items() for other in sorted(others))
    return [(name, other) for name, other in pairs if room(name) != room(other)]


def test_imports_make_no_circle():
    assert circle(graph()) == []


def test_inside_a_room_nobody_comes_in_by_its_door():
    """The room's `__init__` imports its modules: from inside, that would be a circle."""
    entered = {}
    for name, path in MODULES.items():
        own = name.rpartition(".")[0]
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if own != "pplug" and any(isinstance(node, ast.ImportFrom) and node.module == own for node in nodes):
            entered[name] = own
    assert entered == {}


def test_rooms_import_lower_rooms_alone():
    assert {room(name) for name in MODULES} <= set(MAY_IMPORT), "a new room needs its line above"
    wrong = [(name, other) for name, other in crossings(graph()) if room(other) not in MAY_IMPORT[room(name)]]
    assert wrong == []


def test_rooms_are_tied_together_by_few_imports():
    assert len(crossings(graph())) < EDGES_A_MODULE * len(MODULES)


@pytest.mark.parametrize("folder", ["pplug", "tools", "benchmarks", "tests", "docs"])
def test_every_file_is_short(folder):
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted(ROOT.glob(f"{folder}/**/*.py"))
    }
    assert {name: number for name, number in lines.items() if number > LONGEST and name not in LONGER} == {}
    assert all(lines[name] > LONGEST for name in LONGER if name in lines), "short by now: take it from the list"


@pytest.mark.parametrize("folder", ["pplug", "tools", "benchmarks", "tests", "docs"])
def test_every_module_says_what_it_is(folder):
    paths = sorted(ROOT.glob(f"{folder}/**/*.py"))
    assert paths and [str(path) for path in paths if not ast.get_docstring(ast.parse(path.read_text("utf-8")))] == []


def test_every_module_has_its_tests():
    modules = [path.stem for folder in ("pplug", "tools") for path in ROOT.glob(f"{folder}/**/*.py")]
    modules = [MIRROR.get(name, name) for name in modules if name != "__init__"]
    assert sorted(name for name in modules if not (ROOT / "tests" / f"test_{name}.py").exists()) == []


def test_no_two_modules_share_a_name():
    """So that a name means one file, and its test file is found."""
    names = [path.stem for folder in ("pplug", "tools") for path in ROOT.glob(f"{folder}/**/*.py")]
    names = [name for name in names if name != "__init__"]
    assert sorted(names) == sorted(set(names))


def test_every_fault_of_the_list_has_its_test():
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob("tests/test_*.py")]
    marked = {int(number) for text in texts for number in re.findall(r"mark\.fault\((\d+)\)", text)}
    assert marked == FAULTS


# The rules must find what they are there to find.


def test_imports_are_found_wherever_they_stand():
    source = "import pplug.a\nfrom pplug.b import c, D\ndef f():\n    from pplug import e\n    import torch\n"
    modules = ["pplug", "pplug.a", "pplug.b", "pplug.b.c", "pplug.e", "pplug.f", "pplug.me"]
    assert imports(source, "pplug.me", modules) == {"pplug.a", "pplug.b", "pplug.b.c", "pplug.e"}
    assert imports("import pplug.me", "pplug.me", modules) == set()


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_an_import_into_another_room_is_found():
    edges = {"pplug.data.x": {"pplug.data.y", "pplug.base", "pplug.base.z"}, "pplug.config": {"pplug"}}
    assert crossings(edges) == [
        ("pplug.data.x", "pplug.base"),
        ("pplug.data.x", "pplug.base.z"),
        ("pplug.config", "pplug"),
    ]
