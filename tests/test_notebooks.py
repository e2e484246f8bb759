"""The committed notebooks are a clean run's, and the runner that makes them does what it says.

`make test` also executes the notebooks themselves, with nbmake.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import notebooks

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))

LARGEST = 1.5e6  # bytes of one notebook
CODE_CELLS = range(15, 26)
MEDIAN_LINES = 8  # of a code cell, empty ones not counted
FIGURES = range(2, 6)
ABSOLUTE = re.compile(r"(?<![\w.~/:-])/(home|Users|root|tmp|work|mnt|private|var|opt)(/|\b)|\b[A-Z]:\\[A-Z]")
ADDRESS = re.compile(r"\b(at|object) 0x[0-9a-f]{6,}")
PROGRESS = re.compile(r"\r|it/s\]|s/it\]|%\|")
LINK = re.compile(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook) -> list:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def texts(notebook) -> list[str]:
    """Every text that a reader sees: sources and outputs, not the figures' bytes."""
    seen = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        seen.append(output.get("text", ""))
        seen += [str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/")]
    return seen


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
    assert counts == list(range(1, len(counts) + 1)), "run `make write`"
    cleaned = nbformat.from_dict(json.loads(json.dumps(notebook)))
    notebooks.clean(cleaned)
    assert cleaned == notebook, "time stamps or cell metadata: run `make write`"


def test_outputs_are_of_this_source(path, notebook):
    """`make write` records the source that it ran."""
    recorded = json.loads((FOLDER.parent / notebooks.RECORD).read_text(encoding="utf-8"))
    written = {run["name"]: run for run in recorded["notebooks"]}[path.stem]
    assert recorded["profile"] == "default" and written["error"] == ""
    assert written["source"] == notebooks.source_hash([cell.source for cell in code_cells(notebook)]), (
        "run `make write`"
    )


def test_no_error_and_no_noise(notebook):
    assert [output.ename for output in outputs(notebook) if output.output_type == "error"] == []
    assert [output.text for output in outputs(notebook) if output.get("name") == "stderr"] == []


@pytest.mark.parametrize("pattern", [ABSOLUTE, ADDRESS, PROGRESS], ids=["path", "address", "progress"])
def test_nothing_of_this_machine_or_moment(notebook, pattern):
    assert [
        text[max(0, m.start() - 40) : m.end() + 40] for text in texts(notebook) if (m := pattern.search(text))
    ] == []


def test_small_file(path):
    assert path.stat().st_size < LARGEST


def test_small_cells(notebook):
    cells = code_cells(notebook)
    assert len(cells) in CODE_CELLS
    assert median(sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in cells) <= MEDIAN_LINES


def test_bones_of_a_lesson(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"# \S", first.source), "the first cell begins with the title"
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.search(r"^#+ .*\bExercises\b", prose, re.M), "a heading with the word Exercises"


def test_figures(notebook):
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) in FIGURES


def test_links_lead_somewhere(path, notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for target in LINK.findall(prose):
        if not re.match(r"https?:|mailto:|attachment:|#", target):
            assert (path.parent / target.split("#")[0]).exists(), target


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


# The runner.


def write_notebook(path: Path, *sources: str) -> Path:
    cells = [new_markdown_cell("# Title"), *map(new_code_cell, sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel, "stamp": "yesterday"}), path)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command in a folder of its own; give the exit status and what it printed."""
    folder = tmp_path / "notebooks"
    folder.mkdir()

    def call(*arguments: str, profile: str = "smoke") -> tuple[int, str]:
        monkeypatch.setenv("PPLUG_PROFILE", profile)
        status = notebooks.main(["--folder", str(folder), "--out", str(tmp_path / "out"), *arguments])
        return status, capsys.readouterr().out

    call.folder, call.copies = folder, tmp_path / "out" / "smoke"
    return call


@pytest.mark.long
def test_runner_reports_success_and_failure(run):
    hungry = "import subprocess, sys\nblock = b'x' * 150_000_000\nimport time; time.sleep(0.5)\nprint(len(block))"
    write_notebook(
        run.folder / "01_use_memory.ipynb", hungry, "import os\nos.environ['PPLUG_PROFILE'], os.getcwd()[-9:]"
    )
    write_notebook(run.folder / "02_fail_early.ipynb", "1 + 1", "undefined_name", "print('never')")

    status, printed = run()

    assert status == 1
    assert re.search(r"^01_use_memory +0:\d\d +\d+ MiB  ok$", printed, re.M)
    assert re.search(r"^02_fail_early .* FAILED  NameError: name 'undefined_name' is not defined$", printed, re.M)
    assert "1 ok, 1 failed" in printed
    assert "out" in printed.splitlines()[-1]
    timings = json.loads((run.copies / "timings.json").read_text())
    good, bad = timings["notebooks"]
    assert timings["profile"] == "smoke"
    assert (good["name"], good["error"], good["cells"]) == ("01_use_memory", "", 2)
    assert 150 < good["peak_mib"] < 1000, "a bare kernel has 40 to 90 MiB"
    assert 20 < bad["peak_mib"] < 150
    assert 0.5 < good["seconds"] < 120

    copy = nbformat.read(run.copies / "01_use_memory.ipynb", as_version=4)
    assert copy.cells[2].outputs[0].data["text/plain"] == "('smoke', 'notebooks')"
    copy = nbformat.read(run.copies / "02_fail_early.ipynb", as_version=4)
    assert [output.output_type for output in outputs(copy)] == ["execute_result", "error"]
    assert outputs(nbformat.read(run.folder / "01_use_memory.ipynb", as_version=4)) == [], "the source is as it was"


@pytest.mark.long
def test_runner_writes_back_the_same_bytes_twice_and_never_a_failure(run):
    good = write_notebook(
        run.folder / "01_draw_it.ipynb", "import matplotlib.pyplot as plt\nplt.plot([1, 2]);", "1 + 1"
    )
    bad = write_notebook(run.folder / "02_fail_early.ipynb", "1 / 0")
    before = bad.read_bytes()
    ids = [cell.id for cell in nbformat.read(good, as_version=4).cells]

    assert run("--write", profile="default")[0] == 1
    first = good.read_bytes()
    assert run("--write", "01", profile="default")[0] == 0

    assert bad.read_bytes() == before
    assert good.read_bytes() == first
    written = nbformat.read(good, as_version=4)
    assert [cell.id for cell in written.cells] == ids
    assert [cell.execution_count for cell in code_cells(written)] == [1, 2]
    assert "image/png" in outputs(written)[0].data, "MPLBACKEND=Agg, which the tests set, must not reach the kernel"
    assert set(written.metadata) <= {"kernelspec", "language_info"}
    assert "version" not in written.metadata.language_info
    names = [
        entry["name"] for entry in json.loads((run.copies.parent / "default" / "timings.json").read_text())["notebooks"]
    ]
    assert names == ["01_draw_it", "02_fail_early"], "a run of some notebooks keeps the record of the others"


@pytest.mark.long
def test_runner_tells_other_numbers_from_the_committed_ones(run):
    write_notebook(run.folder / "01_be_steady.ipynb", "print('score 0.5')")
    runs = "from pathlib import Path\nruns = Path('../runs')\n"  # the first run says 1, the second 2
    counts = "runs.write_text(runs.read_text() + '.' if runs.exists() else '.')\nprint('score', len(runs.read_text()))"
    write_notebook(run.folder / "02_be_moody.ipynb", runs + counts)
    assert run("--write", profile="default")[0] == 0
    before = [path.read_bytes() for path in sorted(run.folder.iterdir())]

    status, printed = run("--compare", profile="default")

    assert status == 1
    assert re.search(r"^01_be_steady .* ok  1 lines of numbers as committed, 0 near, 0 other$", printed, re.M)
    assert re.search(r"^02_be_moody .* FAILED  0 lines .* 1 other\n +code cell 1: score", printed, re.M)
    assert "1 ok, 1 failed" in printed
    assert [path.read_bytes() for path in sorted(run.folder.iterdir())] == before


@pytest.mark.long
def test_runner_survives_a_kernel_that_dies(run):
    write_notebook(run.folder / "01_die_young.ipynb", "import os\nos._exit(1)")
    write_notebook(run.folder / "02_live_on.ipynb", "1")
    status, printed = run()
    assert status == 1
    assert "FAILED  DeadKernelError" in printed
    assert re.search(r"^02_live_on .* ok$", printed, re.M)
    assert (run.copies / "01_die_young.ipynb").exists()


@pytest.mark.parametrize(
    ("arguments", "profile", "message"),
    [
        (("03",), "smoke", "no notebook begins with '03'; there are: 01_be_there"),
        (("--write",), "smoke", "default profile's, without own data or LLM"),
        ((), "quick", "no profile is called 'quick'"),
    ],
)
def test_runner_refuses(run, capsys, arguments, profile, message):
    write_notebook(run.folder / "01_be_there.ipynb", "1")
    with pytest.raises(SystemExit) as stopped:
        run(*arguments, profile=profile)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not run.copies.parent.exists()


def test_runner_refuses_an_empty_folder(run, capsys):
    with pytest.raises(SystemExit):
        run()
    assert "no notebooks here" in capsys.readouterr().err


def test_names_choose(tmp_path):
    for name in ("01_a.ipynb", "02_b.ipynb", "03_c.ipynb", "draft.ipynb"):
        (tmp_path / name).touch()
    assert [path.name[:2] for path in notebooks.find(tmp_path, [])] == ["01", "02", "03"]
    assert [path.name[:2] for path in notebooks.find(tmp_path, ["03_c", "notebooks/01_a.ipynb"])] == ["01", "03"]


def test_clean_keeps_what_matters():
    output = new_output("display_data", {"text/plain": "x"}, metadata={"needs_background": "light"})
    cell = new_code_cell("x", outputs=[output], metadata={"tags": ["keep"], "execution": {"iopub.status.busy": "now"}})
    notebook = new_notebook(cells=[cell], metadata={"language_info": {"name": "python", "version": "3.11.7"}, "toc": 1})
    notebooks.clean(notebook)
    assert notebook.metadata == {"language_info": {"name": "python"}}
    assert notebook.cells[0].metadata == {"tags": ["keep"]}
    assert notebook.cells[0].outputs[0].metadata == {}
    nbformat.validate(notebook)


def test_memory_of_children_counts():
    memory = notebooks.PeakMemory()
    memory.start(os.getpid())
    code = "block = b'x' * 200_000_000; import time; time.sleep(1)"
    subprocess.run([sys.executable, "-c", code], check=True)
    memory.stop()
    assert memory.peak > 200e6


@pytest.mark.parametrize(("mib", "text"), [(0.4, "0 MiB"), (1023, "1023 MiB"), (1536, "1.5 GiB")])
def test_memory_is_readable(mib, text):
    assert notebooks.as_memory(mib) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (125, "2:05"), (3600, "60:00")])
def test_time_is_readable(seconds, text):
    assert notebooks.as_time(seconds) == text
