"""The workflows run what exists, with read-only permissions and with actions that nobody can exchange."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PINNED = re.compile(r"\s*- uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
ENVIRONMENT = "python -m pip install uv==", "uv pip install --system --resolution ${{ matrix.resolution }} -e"


def faults(text: str) -> list[str]:
    """What is unsafe in a workflow: an action by a name that can move, or more rights than reading."""
    workflow = yaml.safe_load(text)
    jobs = workflow["jobs"].values()
    steps = [step for job in jobs for step in job["steps"]]
    found = [line.strip() for line in text.splitlines() if "uses:" in line and not PINNED.fullmatch(line)]
    if workflow.get("permissions") != {"contents": "read"} or any(map(may_too_much, jobs)):
        found.append("permissions are not: contents: read")
    if "pull_request_target" in text or "workflow_run" in text:  # a stranger's change with the project's rights
        found.append("a trigger with the project's own rights")
    if "secrets" in text or "github.token" in text:
        found.append("secrets")
    for step in steps:
        if "checkout@" in step.get("uses", "") and (step.get("with") or {}).get("persist-credentials") is not False:
            found.append("checkout keeps its credentials")
        if re.search(r"\$\{\{(?! matrix\.\w+ \}\})", step.get("run", "")):  # an event's text would become a command
            found.append(f"text from outside in: {step['run']}")
    return found


def may_too_much(job: dict) -> bool:
    """Whether a job has rights of its own, but that it may publish pages where it does that and nothing else."""
    if "permissions" not in job:
        return False
    deploys = [step.get("uses", "").split("@")[0] for step in job["steps"]] == ["actions/deploy-pages"]
    return not deploys or job["permissions"] != {"pages": "write", "id-token": "write"}


def commands() -> list[str]:
    jobs = [job for path in WORKFLOWS for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()]
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_safe(path):
    assert not faults(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("93cb6efe18208431cddfb8368fd83d5badbf9bfd # v5.0.1", "v5"),
        ("93cb6efe18208431cddfb8368fd83d5badbf9bfd # v5.0.1", "93cb6efe18208431cddfb8368fd83d5badbf9bfd"),
        ("contents: read", "contents: write"),
        ("  pull_request:", "  pull_request_target:"),
        ("persist-credentials: false", "persist-credentials: true"),
        ("run: .ci/run", "run: echo ${{ github.head_ref }}"),
        ("run: .ci/run", "run: echo ${{ secrets.TOKEN }}"),
        ("timeout-minutes: 60", "permissions: write-all"),
    ],
)
def test_an_unsafe_workflow_would_be_noticed(right, wrong):
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert right in text
    assert faults(text.replace(right, wrong, 1))


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("      pages: write", "      contents: write"),
        ("      id-token: write", "      id-token: write\n      contents: write"),
        (
            "    steps:\n      - uses: actions/deploy-pages",
            "    steps:\n      - run: make docs\n      - uses: actions/deploy-pages",
        ),
    ],
)
def test_pages_are_published_with_no_other_right_and_by_nothing_else(right, wrong):
    text = (ROOT / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8")
    assert right in text and faults(text) == []
    assert faults(text.replace(right, wrong, 1))


def test_one_version_of_each_action():
    used = re.findall(r"uses: ([^@]+)@(.+)", "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS))
    assert len(set(used)) == len({name for name, _ in used})


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_what_a_step_runs_exists(command):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    if target := re.fullmatch(r"make (\w+)", command):
        assert re.search(rf"^{target[1]}:", makefile, re.M)
    elif command.startswith("python -m pytest"):
        assert all((ROOT / path).exists() for path in re.findall(r"\S+\.ipynb", command))
    else:
        assert command == ".ci/run" or command.startswith(ENVIRONMENT)


def test_every_night_runs_the_long_ones_and_both_ends_of_the_bounds():
    nightly = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8"))
    assert {"schedule", "workflow_dispatch"} == set(nightly[True])  # YAML 1.1 reads the key `on` as true
    assert nightly["jobs"]["bounds"]["strategy"]["matrix"]["resolution"] == ["lowest-direct", "highest"]
    assert "make trust" in commands()
