"""The command that executes notebooks: what it reports, writes, compares and refuses, and how a signal ends it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebooks

ROOT = Path(__file__).resolve().parent.parent


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook) -> list:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


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


@pytest.mark.parametrize(("mib", "text"), [(0.4, "0 MiB"), (1023, "1023 MiB"), (1536, "1.5 GiB")])
def test_memory_is_readable(mib, text):
    assert notebooks.as_memory(mib) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (125, "2:05"), (3600, "60:00")])
def test_time_is_readable(seconds, text):
    assert notebooks.as_time(seconds) == text


# A signal ends the run: kernel, its children and the notebooks that were still to come.


def alive(number: int) -> bool:
    return psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE


def wait_for(condition, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.1)
    assert condition()


@pytest.mark.long
@pytest.mark.fault(18)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_ends_the_run_and_what_was_done_is_reported(run, name):
    told = run.folder / "told"
    write_notebook(run.folder / "01_be_quick.ipynb", "1")
    waits = f"open({str(told)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\nimport time; time.sleep(600)"
    child = "import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\n"
    write_notebook(run.folder / "02_be_slow.ipynb", "print('begun')", child + waits)
    write_notebook(run.folder / "03_be_late.ipynb", "1")
    command = [sys.executable, "-m", "tools.notebooks", "--folder", str(run.folder), "--out", str(run.copies.parent)]
    # The runner leaves a signal alone that is ignored, and nohup or a shell's `&` has these tests ignore one.
    heeds = f"import os, signal; signal.signal(signal.{name}, signal.SIG_DFL); os.execv({command[0]!r}, {command!r})"
    with subprocess.Popen([sys.executable, "-c", heeds], cwd=ROOT, stdout=subprocess.PIPE, text=True) as runner:
        try:
            wait_for(lambda: told.exists() and len(told.read_text().split()) == 2)
            runner.send_signal(getattr(signal, name))
            printed, _ = runner.communicate(timeout=60)
        finally:
            runner.kill()

    assert runner.returncode == 128 + getattr(signal, name)
    assert re.search(r"^01_be_quick .* ok$", printed, re.M)
    assert re.search(rf"^02_be_slow .* FAILED  Ended: by {name}$", printed, re.M)
    assert "03_be_late" not in printed
    assert f"1 ok, 1 failed, 1 not run: ended by {name}" in printed
    wait_for(lambda: not any(map(alive, map(int, told.read_text().split()))), 5)
    timings = json.loads((run.copies / "timings.json").read_text())["notebooks"]
    assert [(entry["name"], entry["error"]) for entry in timings] == [
        ("01_be_quick", ""),
        ("02_be_slow", f"Ended: by {name}"),
    ]
    copy = nbformat.read(run.copies / "02_be_slow.ipynb", as_version=4)
    assert [output.text for output in outputs(copy)] == ["begun\n"]


@pytest.mark.long
@pytest.mark.fault(18)
def test_a_signal_while_a_kernel_starts_ends_the_run(run):
    """The kernel's start takes a second; nbclient's own handlers stand before that."""
    for number in range(5):
        write_notebook(run.folder / f"0{number}_be_quick.ipynb", "1")
    command = [sys.executable, "-m", "tools.notebooks", "--folder", run.folder, "--out", run.copies.parent]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as runner:
        try:
            wait_for(lambda: any("ipykernel" in " ".join(child.cmdline()) for child in children(runner.pid)))
            runner.send_signal(signal.SIGTERM)
            printed, _ = runner.communicate(timeout=60)
        finally:
            runner.kill()
    assert runner.returncode == 128 + signal.SIGTERM
    assert "0 ok, 1 failed, 4 not run: ended by SIGTERM" in printed


def children(number: int) -> list[psutil.Process]:
    try:
        return psutil.Process(number).children()
    except psutil.Error:
        return []


# What a kernel prints, and where it looks.


@pytest.mark.long
@pytest.mark.fault(33)
def test_a_long_printed_line_costs_no_more_than_its_length(run):
    def cost(letters: int) -> float:
        write_notebook(run.folder / "01_print_it.ipynb", f"print('x' * {letters})")
        start = time.process_time()  # of this process, not of the kernel's
        assert run()[0] == 0
        return time.process_time() - start

    cost(1)  # imports
    assert cost(100_000) < 3 * cost(1) + 0.5
    copy = nbformat.read(run.copies / "01_print_it.ipynb", as_version=4)
    assert outputs(copy)[0].text == "x\n"


@pytest.mark.long
@pytest.mark.fault(20)
def test_a_relative_data_folder_is_the_one_of_where_the_command_runs(run, tmp_path, monkeypatch):
    """Kernels run in the notebooks' folder."""
    from pplug.config import get_profile
    from pplug.offline.simulate import simulate

    monkeypatch.chdir(tmp_path)
    simulate("own/time/LaMP_4", "LaMP-4", n_users=10, seed=1)
    monkeypatch.setenv("PPLUG_DATA", "own/time")
    monkeypatch.setenv("PPLUG_LLM", "standin")
    code = "from pplug.config import get_profile\nfrom pplug.study.experiment import task_data\n"
    write_notebook(run.folder / "01_load_it.ipynb", code + "print(len(task_data('LaMP-4', get_profile()).items))")
    status, printed = run(profile="laptop")
    assert status == 0, printed
    assert get_profile("laptop").llm == "standin"


def test_the_time_from_nothing_is_told_where_the_same_command_installed(tmp_path, monkeypatch):
    new = tmp_path / ".new"
    monkeypatch.delenv(notebooks.STARTED, raising=False)
    assert notebooks.since_command(new) is None
    monkeypatch.setenv(notebooks.STARTED, str(time.time() - 100))
    assert notebooks.since_command(new) is None, "nothing is installed"
    new.touch()
    assert 100 <= notebooks.since_command(new) < 130
    os.utime(new, (0, 0))
    assert notebooks.since_command(new) is None, "it was installed before"
