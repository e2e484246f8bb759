"""The committed notebooks are a clean run's, small, and built as lessons.

`make test` also executes the notebooks themselves, with nbmake.
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import nbformat
import pytest

from pplug.base import package_file, read_json
from pplug.sources.chat import SHA256
from tools import execution, notebooks

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))

LARGEST = 1.5e6  # bytes of one notebook
MAP = 1.5e6  # more of one with a map to touch, which holds the library that draws it
CODE_CELLS = range(15, 26)
MEDIAN_LINES = 8  # of a code cell, empty ones not counted
FIGURES = range(2, 7)
LONGEST_TEXT, LONGEST_CODE = 120, 25  # words of a text cell, lines of a code cell
ABSOLUTE = re.compile(r"(?<![\w.~/:-])/(home|Users|root|tmp|work|mnt|private|var|opt)(/|\b)|\b[A-Z]:\\[A-Z]")
ADDRESS = re.compile(r"\b(at|object) 0x[0-9a-f]{6,}")
PROGRESS = re.compile(r"\r|it/s\]|s/it\]|%\|")
LIBRARY = re.compile(r"/\*!.*?</script>", re.S)  # what draws a map to touch; what the map tells stands behind it
LINK = re.compile(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def taught_cells(notebook) -> list:
    """The code cells without the folded solutions of the exercises, which count towards no limit."""
    return [cell for cell in code_cells(notebook) if "solution" not in cell.metadata.get("tags", [])]


def outputs(notebook) -> list:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def texts(notebook) -> list[str]:
    """Every text that a reader sees: sources and outputs, not the figures' bytes."""
    seen = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        seen.append(output.get("text", ""))
        seen += [str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/")]
    return [LIBRARY.sub("", text) for text in seen]


def says_outputs_are_older(notebook) -> bool:
    return any(cell["id"] == notebooks.OLDER for cell in notebook.cells)


def test_there_is_a_folder_of_notebooks():
    assert FOLDER.is_dir()


def test_name(path):
    assert re.fullmatch(r"\d\d_[a-z]+(_[a-z0-9]+)+", path.stem), "NN_verb_object.ipynb"


def test_valid_and_with_cell_ids(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) >= (4, 5)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(ids) == len(set(ids))
    nbformat.validate(content)


def test_written_by_a_clean_run(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if says_outputs_are_older(notebook):  # cells that came since then were never run here
        assert sorted(filter(None, counts)) == list(filter(None, counts))
    else:
        assert counts == list(range(1, len(counts) + 1)), "run `make write`"
    cleaned = nbformat.from_dict(json.loads(json.dumps(notebook)))
    execution.clean(cleaned)
    assert cleaned == notebook, "time stamps or cell metadata: run `make write`"


def test_outputs_are_of_this_source(path, notebook):
    """`make write` records the source that it ran; a lesson that was changed since then tells its reader."""
    recorded = json.loads((FOLDER.parent / notebooks.RECORD).read_text(encoding="utf-8"))
    written = {run["name"]: run for run in recorded["notebooks"]}[path.stem]
    assert recorded["profile"] == "default" and written["error"] == ""
    is_current = written["source"] == execution.source_hash([cell.source for cell in code_cells(notebook)])
    told = "run `make write`; a lesson with older outputs says so at its top"
    assert is_current != says_outputs_are_older(notebook), told


def test_no_error_and_no_noise(notebook):
    assert [output.ename for output in outputs(notebook) if output.output_type == "error"] == []
    assert [output.text for output in outputs(notebook) if output.get("name") == "stderr"] == []


@pytest.mark.parametrize("pattern", [ABSOLUTE, ADDRESS, PROGRESS], ids=["path", "address", "progress"])
def test_nothing_of_this_machine_or_moment(notebook, pattern):
    assert [
        text[max(0, m.start() - 40) : m.end() + 40] for text in texts(notebook) if (m := pattern.search(text))
    ] == []


def test_small_file(path, notebook):
    assert path.stat().st_size < LARGEST + MAP * any("touch.framed(" in cell.source for cell in notebook.cells)


def test_small_cells(notebook):
    cells = taught_cells(notebook)
    assert len(cells) in CODE_CELLS
    assert median(sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in cells) <= MEDIAN_LINES


def test_bones_of_a_lesson(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"# \S", first.source), "the first cell begins with the title"
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.search(r"^#+ .*\bExercises\b", prose, re.M), "a heading with the word Exercises"


def test_small_texts_and_code(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert len(cell.source.split()) <= LONGEST_TEXT, cell.id
        elif cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= LONGEST_CODE, cell.id


def test_the_answer_is_said_in_numbers_that_a_run_made(notebook):
    said = [str(output.get("data", {}).get("text/markdown", "")) for output in outputs(notebook) if "data" in output]
    answers = [text for text in said if re.search(r"\*\*(The answer|Answer)\b", text)]
    assert any(re.search(r"\d", text) for text in answers) or says_outputs_are_older(notebook)


def test_where_we_are_is_a_picture_with_words_for_it(notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    pictures = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", prose)
    assert any(target.startswith("figures/pipeline-") for _, target in pictures)
    assert all(len(words.split()) > 3 for words, _ in pictures), "alternative text"


def test_what_a_figure_shows_is_said_under_it(notebook):
    cells = code_cells(notebook)
    for number, cell in enumerate(cells):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            near = [output for some in cells[number : number + 2] for output in some.outputs]
            words = [output for output in near if output.output_type == "stream" or "text/markdown" in output.data]
            assert words or says_outputs_are_older(notebook), cell.id


def test_every_exercise_is_solved(notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    exercises = re.search(r"^#+ .*\bExercises\b(.*?)^#", prose + "\n#", re.M | re.S)[1]
    solved = [cell for cell in code_cells(notebook) if "solution" in cell.metadata.get("tags", [])]
    assert len(solved) >= len(re.findall(r"^\d\. ", exercises, re.M)) > 0
    assert all(cell.metadata.get("jupyter") == {"source_hidden": True} for cell in solved), "folded"


def test_code_that_draws_is_folded(notebook):
    drawing = [cell for cell in code_cells(notebook) if "plt.show()" in cell.source]
    assert all(cell.metadata.get("jupyter") == {"source_hidden": True} for cell in drawing)


def test_figures(notebook):
    shown = [output for cell in taught_cells(notebook) for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in shown) in FIGURES


def test_every_figure_has_an_alternative_text(notebook):
    figures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    short = [figure for figure in figures if len(figure.metadata.get("image/png", {}).get("alt", "").split()) < 8]
    assert not short or says_outputs_are_older(notebook)


def test_links_lead_somewhere(path, notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for target in LINK.findall(prose):
        if not re.match(r"https?:|mailto:|attachment:|#", target):
            assert (path.parent / target.split("#")[0]).exists(), target


def runs(text: str) -> set[tuple[str, ...]]:
    """Every eight words in a row, whatever their case and marks."""
    words = re.findall(r"\w+", text.lower())
    found = {tuple(words[at : at + 8]) for at in range(len(words) - 7)}
    return {run for run in found if not all(word.isdigit() for word in run)}  # someone counts; so do records


def test_no_real_persons_sentence_is_in_the_repository():
    """The chats of real people are read, counted and drawn, but nothing that they wrote is shown."""
    if find_spec("chitchat_dataset") is None:
        pytest.skip("needs the package chitchat-dataset, see packaged.txt")
    globs = ("*.md", "docs/*.md", "results/**/*.json", "pplug/**/*.py", "tests/*.py")
    paths = [path for name in globs for path in ROOT.glob(name)]
    shown = set().union(*(runs(path.read_text(encoding="utf-8")) for path in paths))
    for path in PATHS:
        shown |= set().union(*map(runs, texts(nbformat.read(path, as_version=4))))
    chats = read_json(package_file("chitchat-dataset", "dataset.json", SHA256)).values()
    said = (message["text"] for chat in chats for turn in chat["messages"] for message in turn)
    assert not [text for text in said if not shown.isdisjoint(runs(text))]


# The rules must find what they are there to find, also while there are few notebooks to try them on.


@pytest.mark.parametrize("text", ["in /home/me/x", "'/tmp/y'", "/mnt/a", "(C:\\Users\\me)", "/Users/me"])
def test_absolute_paths_are_found(text):
    assert ABSOLUTE.search(text)


@pytest.mark.parametrize(
    "text", ["../mnt/x", "https://a.org/home/b", "x/tmp/y", r"$C:\mathbb{R}$", "and/or", "~/home/"]
)
def test_other_paths_are_not(text):
    assert not ABSOLUTE.search(text)


@pytest.mark.parametrize("text", ["10%|#  | 1/10", "[00:01<00:09, 1.2it/s]", "a\rb"])
def test_progress_bars_are_found(text):
    assert PROGRESS.search(text)


def test_a_sentence_is_found_whatever_its_case_and_marks():
    said = "I said: you would never, ever guess what we did!"
    assert not runs(f"| she | {said.upper()} |").isdisjoint(runs(said))
    assert runs(said).isdisjoint(runs("you would never guess what we did yesterday, said I, ever"))
