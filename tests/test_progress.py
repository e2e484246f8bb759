"""What `track` draws, where it draws nothing, and that it leaves nothing behind."""

import io
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pplug.base import progress
from pplug.base.progress import describe, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Standard error is a terminal, nobody asked for quiet, and every step is drawn."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("PPLUG_QUIET", raising=False)
    monkeypatch.setattr(progress, "REDRAW", 0)
    # Not `sys.stderr` itself: pytest sets that anew between this fixture and the test.
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=Terminal(), modules=sys.modules))
    return progress.sys.stderr


@given(st.lists(st.integers()))
def test_items_come_through_unchanged(items):
    assert list(track(items)) == items
    assert list(track(iter(items), total=len(items))) == items


def test_terminal_line_is_drawn_and_erased(terminal, capsys):
    assert list(track([1, 2], label="counting")) == [1, 2]
    text = terminal.getvalue()
    assert "counting: 50 %" in text and "counting: 100 %" in text
    assert text.endswith("\r\x1b[K") and "\n" not in text
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("leave", ["break", "error"])
def test_line_is_erased_when_the_loop_is_left(terminal, leave):
    try:
        for item in track(range(5), label="counting"):
            if item == 2 and leave == "break":
                break
            if item == 2:
                raise RuntimeError
    except RuntimeError:
        pass
    assert "counting: 40 %" in terminal.getvalue() and terminal.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("variable", ["CI", "PPLUG_QUIET"])
def test_quiet_on_request(terminal, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    list(track(range(3), label="counting"))
    assert terminal.getvalue() == ""


def test_quiet_when_standard_error_is_a_file(terminal, monkeypatch):
    monkeypatch.setattr(progress.sys, "stderr", io.StringIO())
    list(track(range(3), label="counting"))
    assert progress.sys.stderr.getvalue() == ""


def test_description():
    assert describe("work", 1, 4, seconds=10) == "work: 25 %, 30 s left"
    assert describe("work", 1, 10, seconds=60) == "work: 10 %, 9 min left"
    assert describe("work", 1234, None, seconds=60) == "work: 1,234"


# `allow_stdin` is how a front end with a reader differs from one that runs notebooks unattended.
NOTEBOOK = """
import os
os.environ.pop("CI", None); os.environ.pop("PPLUG_QUIET", None)
from pplug.base import progress
progress.REDRAW = 0
shown = []
if {reader}:
    from IPython.display import DisplayHandle
    get_ipython().kernel._allow_stdin = True
    update = DisplayHandle.update
    DisplayHandle.update = lambda self, data, **options: (shown.append(data), update(self, data, **options))
assert list(progress.track(range(4), label="counting")) == [0, 1, 2, 3]
"""


@pytest.fixture(scope="module")
def run_notebook():
    """Runs code cells as CI does; returns each cell's outputs."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")

    def run(cells):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
        return [cell.outputs for cell in notebook.cells]

    return run


@pytest.fixture(scope="module")
def outputs(run_notebook):
    """The outputs of a cell that uses `track`, without a reader and with one."""
    cells = [NOTEBOOK.format(reader=reader) for reader in (False, True)]
    return run_notebook([*cells, "print(len(shown), shown[0], shown[-1])"])


def test_unattended_notebook_has_no_output(outputs):
    assert outputs[0] == []


def test_notebook_with_a_reader_updates_one_display_and_empties_it(outputs):
    assert [output.output_type for output in outputs[1]] == ["display_data"] and outputs[1][0].data == {}
    assert outputs[2][0].text == "4 {'text/plain': 'counting: 50 %, 0 s left'} {}\n"


NO_WIDGETS = """
import sys
sys.modules["ipywidgets"] = None  # tqdm then advises to install them
from pplug.base.progress import no_loading_bars
with no_loading_bars():
    import transformers
    assert not transformers.utils.logging.is_progress_bar_enabled()
    assert "tqdm.auto" in sys.modules
assert transformers.utils.logging.is_progress_bar_enabled()
"""


def test_importing_transformers_inside_leaves_no_advice_about_widgets(run_notebook):
    pytest.importorskip("transformers")
    assert run_notebook([NO_WIDGETS]) == [[]]
