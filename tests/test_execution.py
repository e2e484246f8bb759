"""execution.py: a notebook's outputs joined and cleaned, its kernel's memory and environment."""

import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import execution
from tools.reruns import compare


def test_clean_keeps_what_matters():
    output = new_output("display_data", {"text/plain": "x"}, metadata={"needs_background": "light"})
    cell = new_code_cell(
        "x",
        outputs=[output],
        metadata={"tags": ["keep"], "jupyter": {"source_hidden": True}, "execution": {"iopub.status.busy": "now"}},
    )
    notebook = new_notebook(cells=[cell], metadata={"language_info": {"name": "python", "version": "3.11.7"}, "toc": 1})
    execution.clean(notebook)
    assert notebook.metadata == {"language_info": {"name": "python"}}
    assert notebook.cells[0].metadata == {"tags": ["keep"], "jupyter": {"source_hidden": True}}
    assert notebook.cells[0].outputs[0].metadata == {}
    nbformat.validate(notebook)


def test_memory_of_children_counts():
    memory = execution.PeakMemory()
    memory.start(os.getpid())
    code = "block = b'x' * 200_000_000; import time; time.sleep(1)"
    subprocess.run([sys.executable, "-c", code], check=True)
    memory.stop()
    assert memory.peak > 200e6


def stream(name: str, text: str):
    return new_output("stream", name=name, text=text)


def joined(*outputs) -> list[tuple[str, str]]:
    found = execution.join_streams([stream(*output) if output else new_output("display_data") for output in outputs])
    return [(output.get("name", "figure"), output.get("text", "")) for output in found]


def test_what_a_cell_wrote_is_one_output_for_each_stream():
    assert joined(("stdout", "a"), None, ("stdout", "b\n"), ("stderr", "c"), ("stdout", "d")) == [
        ("stdout", "ab\nd"),
        ("figure", ""),
        ("stderr", "c"),
    ]
    assert joined(("stderr", "c"), ("stdout", "a")) == [("stdout", "a"), ("stderr", "c")]
    assert joined(("stderr", "c"), None, ("stdout", "a")) == [("stderr", "c"), ("figure", ""), ("stdout", "a")]
    assert joined() == []


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("10 %\r20 %\r30 %\ndone\n", "30 %\ndone\n"),
        ("10 %\r", "10 %"),
        ("a\r\nb", "a\nb"),
        ("a\n\nb", "a\n\nb"),
        ("", ""),
    ],
)
def test_of_a_line_written_over_the_last_writing_stays(written, kept):
    assert joined(("stdout", written)) == [("stdout", kept)]
    half = len(written) // 2
    assert joined(("stdout", written[:half]), ("stdout", written[half:])) == [("stdout", kept)]


@pytest.mark.fault(33)
@pytest.mark.parametrize("parts", [1, 100])
@pytest.mark.parametrize("text", ["x", "x\r", "x\n", "1,", "a/s "], ids=repr)
def test_joining_and_comparing_take_a_time_in_proportion_to_the_text(text, parts):
    """The interface is new; `test_notebooks.py` shows the same of the whole command."""

    def seconds(length: int) -> float:
        piece = {"output_type": "stream", "name": "stdout", "text": text * (length // len(text) // parts)}
        cell = new_code_cell("x")
        cell.outputs = [nbformat.from_dict(piece) for _ in range(parts)]
        start = time.process_time()
        cell.outputs = execution.join_streams(cell.outputs)
        notebook = new_notebook(cells=[cell])
        compare(notebook, notebook)
        return time.process_time() - start

    assert min(seconds(200_000) for _ in range(3)) < 3 * min(seconds(100_000) for _ in range(3)) + 0.05


def test_the_kernel_is_given_folders_it_can_find(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "an_llm").mkdir()
    for key, value in {"PPLUG_DATA": "data/time", "PPLUG_CACHE": "kept", "PPLUG_LLM": "an_llm", "OTHER": "x"}.items():
        monkeypatch.setenv(key, value)
    variables = execution.kernel_environment()
    assert [variables[key] for key in execution.PATHS] == [
        str(tmp_path / name) for name in ("data/time", "an_llm", "kept")
    ]
    assert variables["OTHER"] == "x" and "MPLBACKEND" not in variables
    monkeypatch.setenv("PPLUG_LLM", "google/flan-t5-small")
    monkeypatch.setenv("PPLUG_DATA", "")
    assert execution.kernel_environment()["PPLUG_LLM"] == "google/flan-t5-small"
    assert execution.kernel_environment()["PPLUG_DATA"] == ""


def test_a_signal_is_noted_once_and_handlers_are_given_back():
    before = [signal.getsignal(number) for number in execution.SIGNALS]
    calls = []
    with execution.heeding_signals() as ending:
        ending.stop = lambda: calls.append(1)
        assert ending.number == 0
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert (ending.number, ending.name, calls) == (signal.SIGTERM, "SIGTERM", [1])
    assert [signal.getsignal(number) for number in execution.SIGNALS] == before


def test_an_ignored_signal_stays_ignored():
    """As `nohup` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with execution.heeding_signals() as ending:
            os.kill(os.getpid(), signal.SIGHUP)
            assert ending.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)
