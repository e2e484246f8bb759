"""Faults: whatever stops a run, a rerun ends with the results of an undisturbed one, and nobody cleans up by hand."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import tiny
from effort import cases

pytestmark = [pytest.mark.long, pytest.mark.skipif(not hasattr(os, "fork"), reason="jobs are forked")]
KILLS = {
    "encoding": cases(usual=3, nightly=100),
    "training": cases(usual=3, nightly=100),
    "comparing": cases(usual=1, nightly=100),
    "writing": cases(usual=8, nightly=100),
}
FULL = {  # disks
    "encoding": cases(usual=2, nightly=100),
    "checkpoints": cases(usual=2, nightly=100),
    "plugs": cases(usual=1, nightly=50),
    "writing": cases(usual=2, nightly=100),
} | ({"comparing": 20} if cases(usual=0, nightly=1) else {})
AT_ONCE = {  # times
    "encoding": cases(usual=1, nightly=20),
    "loading": cases(usual=5, nightly=200),
    "plugs": cases(usual=1, nightly=10),
    "writing": cases(usual=1, nightly=20),
} | ({"comparing": 10} if cases(usual=0, nightly=1) else {})
NOBODY = 65534


@pytest.fixture(scope="module")
def jobs():
    """The module with the jobs, imported here to read what they left and in the server they are forked from."""
    import jobs

    return jobs


@pytest.fixture(scope="module")
def start(jobs, tmp_path_factory):
    """Starts a job in a process of its own, which begins at once: it is forked from one that has everything loaded."""
    llm = tiny.save_llm("t5", tmp_path_factory.mktemp("llm"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["jobs"])

    def start(name, folder, **more):
        folder.mkdir(exist_ok=True)
        process = context.Process(target=jobs.run, args=(name, folder, llm), kwargs=more)
        process.start()
        return process

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parent.parent))))
        start("writing", tmp_path_factory.mktemp("first")).join()  # so that the server is up
    return start


@pytest.fixture(scope="module")
def undisturbed(jobs, start, tmp_path_factory):
    """Job → what it leaves when nothing happens, and the seconds it takes."""
    known = {}

    def find(name):
        if name not in known:
            folder, began = tmp_path_factory.mktemp(name), time.perf_counter()
            run_to_the_end(start, name, folder)
            known[name] = jobs.left(folder), time.perf_counter() - began
            shutil.rmtree(folder)
        return known[name]

    return find


def run_to_the_end(start, name, folder):
    process = start(name, folder)
    process.join()
    assert process.exitcode == 0, f"{name} in {folder}"


def still_running(group: int) -> list[int]:
    """The processes a job has started, itself included."""

    def is_one(number):
        try:
            return os.getsid(number) == group and psutil.Process(number).status() != psutil.STATUS_ZOMBIE
        except (OSError, psutil.NoSuchProcess):
            return False

    return [number for number in psutil.pids() if is_one(number)]


def differing(found: dict, expected: dict) -> list[str]:
    return [name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)]


@pytest.mark.parametrize("name", KILLS)
def test_killed_at_any_moment_a_rerun_ends_as_if_nothing_had_happened(jobs, start, undisturbed, tmp_path, name):
    expected, seconds = undisturbed(name)
    assert len(expected) > 1
    hits = 0
    for seed in range(KILLS[name]):
        folder, rng = tmp_path / str(seed), random.Random(f"{name}/{seed}")
        began, process = time.perf_counter(), start(name, folder)
        process.join(rng.uniform(0, seconds))
        took = time.perf_counter() - began
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), f"seed {seed}: it failed before it was killed"
        hits += process.exitcode != 0
        if process.exitcode == 0:  # the machine has become faster
            seconds = min(seconds, took)
        until = time.monotonic() + 10
        while still_running(process.pid) and time.monotonic() < until:
            time.sleep(0.01)
        assert not still_running(process.pid), f"seed {seed}: it left processes behind"
        run_to_the_end(start, name, folder)
        assert differing(jobs.left(folder), expected) == [], f"seed {seed}"
        shutil.rmtree(folder)
    print(f"{name}: {hits} of {KILLS[name]} kills hit it at work, {seconds:.2f} s undisturbed")
    assert hits >= KILLS[name] / 2


def test_the_comparison_sees_what_a_kill_could_leave(jobs, start, undisturbed, tmp_path):
    """A torn file, a lost one, a temporary one, and one number that is another are all found out."""
    expected, _ = undisturbed("writing")
    run_to_the_end(start, "writing", tmp_path / "a")
    assert jobs.left(tmp_path / "a") == expected
    (tmp_path / "a" / "README.md").write_bytes(expected["README.md"][:-1])
    (tmp_path / "a" / "main" / "s1.json").unlink()
    (tmp_path / "a" / "main" / ".s1.json.0a0a0a0a-1.tmp").touch()
    record = tmp_path / "a" / "main" / "s2.json"
    record.write_text(record.read_text().replace('"seed": 2', '"seed": 3'))
    found = differing(jobs.left(tmp_path / "a"), expected)
    assert found == ["README.md", "main/.s1.json.0a0a0a0a-1.tmp", "main/s1.json", "main/s2.json"]


def test_workers_end_with_a_comparison_that_is_killed(start, tmp_path):
    """As `python -m pplug compare` starts them: spawned."""
    process = start("waiting", tmp_path / "a")
    until = time.monotonic() + 60
    while not list((tmp_path / "a").glob("*.working")) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(still_running(process.pid)) > 1
    process.kill()
    process.join()
    until = time.monotonic() + 10
    while still_running(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert still_running(process.pid) == []


def fill_disk(_folder, size: int) -> None:
    """Let no file grow beyond `size` bytes: as a full disk, an error in the middle of a write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def forbid_writing(folder: Path) -> None:
    """Take the right to write to the folder away; root, who may write anyway, becomes nobody."""
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        path.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


def told_by(start, name, folder, before) -> str:
    """Run a job that cannot write; returns the error it ended with, empty if none."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = start(name, folder, before=before, told=theirs)
    theirs.close()
    process.join()
    try:
        return ours.recv()
    except EOFError:
        assert process.exitcode == 0
        return ""


@pytest.mark.parametrize("name", FULL)
def test_a_full_disk_is_a_clear_error_and_a_rerun_goes_on(jobs, start, undisturbed, tmp_path, name):
    expected, _ = undisturbed(name)
    for seed in range(FULL[name]):
        folder, rng = tmp_path / str(seed), random.Random(f"full/{name}/{seed}")
        size = int(10 ** rng.uniform(2, 3.9))  # bytes; with less, a pool of processes has no room for its semaphores
        error = told_by(start, name, folder, partial(fill_disk, size=size))
        assert error.startswith("OSError") and str(folder) in error and "expected a folder with room" in error
        run_to_the_end(start, name, folder)
        assert differing(jobs.left(folder), expected) == [], f"seed {seed}"
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["encoding", "writing"])
def test_a_read_only_folder_is_a_clear_error_and_harms_nothing(jobs, start, undisturbed, tmp_path, name):
    expected, _ = undisturbed(name)
    folder = tmp_path / "a"
    for path in (tmp_path, *tmp_path.parents):  # pytest's own folders are closed to others
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    error = told_by(start, name, folder, forbid_writing)
    assert error.startswith("PermissionError") and str(folder) in error and "may be written to" in error
    folder.chmod(0o755)
    run_to_the_end(start, name, folder)
    assert differing(jobs.left(folder), expected) == []


@pytest.mark.parametrize("name", AT_ONCE)
def test_several_at_once_on_one_folder_end_as_one_would(jobs, start, undisturbed, tmp_path, name):
    expected, _ = undisturbed(name)
    for seed in range(AT_ONCE[name]):
        folder = tmp_path / str(seed)
        processes = [start(name, folder) for _ in range(3)]
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0], f"time {seed}"
        assert differing(jobs.left(folder), expected) == [], f"time {seed}"


def test_overlapping_texts_from_several_processes_at_once(jobs, start, tmp_path):
    """Each takes other texts, in another order; the store then has the right vector of every one of them."""
    from pplug.method.encoders import encode, encode_texts

    for seed in range(cases(usual=2, nightly=100)):
        folder = tmp_path / str(seed)
        processes = [start(f"overlapping {number}", folder) for number in range(3)]
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
        texts = jobs.texts(0, 120)
        right = encode_texts(jobs.ENCODER, texts, progress=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pplug.method.encoders.add", lambda *_: pytest.fail("a text is not in the store"))
            found = encode(jobs.ENCODER, texts, folder / "cache", progress=False)
        assert (found * right).sum(axis=1).min() > 0.999  # what encoders.py promises; no two texts are as similar
        assert "left over" not in jobs.left(folder).values()
        shutil.rmtree(folder)


def test_a_working_copy_that_another_process_finished_first_is_kept(monkeypatch, tmp_path):
    """To replace it would take it away from the other, which reads it already."""
    from pplug.data import loading
    from pplug.offline.simulate import simulate

    simulate(tmp_path / "users", "LaMP-4", 2, seed=1)
    write, others = loading.replacing, []

    def write_when_another_has_loaded(path):
        if not others:
            others.append(None)
            loading.load(tmp_path / "users", "LaMP-4", tmp_path)
            others[0] = {path: path.stat().st_ino for path in (tmp_path / "data").rglob("*")}
        return write(path)

    monkeypatch.setattr(loading, "replacing", write_when_another_has_loaded)
    assert len(loading.load(tmp_path / "users", "LaMP-4", tmp_path).splits["dev"]) == 2
    assert {path: path.stat().st_ino for path in (tmp_path / "data").rglob("*")} == others[0]
    next((tmp_path / "data").glob("*/done")).unlink()  # as when its removal was interrupted
    assert len(loading.load(tmp_path / "users", "LaMP-4", tmp_path).splits["dev"]) == 2
