"""The wheel, installed outside a checkout: what is in it, how it starts, and where it keeps what it writes."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

ROOT = Path(__file__).resolve().parent.parent
UNSHIPPED = ignore_patterns(".git", ".venv", ".cache", "executed", "notebooks", "results", "__pycache__", "build")
HEAVY = ("torch", "transformers", "datasets", "sklearn", "sentence_transformers", "numpy", "matplotlib")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built with the setuptools that is here from a copy: building leaves traces in its source."""
    source, out = tmp_path_factory.mktemp("source") / "pplug", tmp_path_factory.mktemp("wheel")
    copytree(ROOT, source, ignore=UNSHIPPED)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=source, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Run Python where the wheel is installed and nothing of the checkout is seen; give what it prints as JSON."""
    site, home = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("home")
    with zipfile.ZipFile(wheel) as archive:  # a wheel of pure Python is installed by unpacking it
        archive.extractall(site)
    before = set(site.rglob("*"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PPLUG_", "PYTHON", "XDG_"))}
    known = {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home), "XDG_CACHE_HOME": str(home)}

    def call(code: str):
        command = [sys.executable, "-c", f"import json, sys\n{code}"]
        done = subprocess.run(command, cwd=home, env=kept | known, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert set(site.rglob("*")) == before, "something was written beside the package"
        return json.loads(done.stdout.splitlines()[-1])

    call.site, call.home = site, home
    return call


@pytest.mark.fault(19)
def test_the_wheel_holds_the_package_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"pplug"}, (
        "tools and benchmarks stay in the checkout"
    )
    shipped = {str(path.relative_to(ROOT)) for path in ROOT.glob("pplug/**/*") if path.is_file()}
    shipped = {name for name in shipped if "__pycache__" not in name}
    assert {name for name in names if ".dist-info/" not in name} == shipped
    assert {"pplug/py.typed", "pplug/weights/standin/model.safetensors"} <= set(names)


def test_it_knows_its_version_and_starts_light(run):
    code = f"import pplug\nheavy = [name for name in {HEAVY} if name in sys.modules]\n"
    code += "from importlib.metadata import version\nprint(json.dumps([pplug.__file__, version('pplug'), heavy]))"
    place, version, heavy = run(code)
    assert Path(place).is_relative_to(run.site)
    assert version == "0.1.0" and heavy == []


@pytest.mark.fault(19)
def test_its_cache_and_results_are_not_beside_the_package(run):
    code = "from pplug.base.files import cache_folder\nfrom pplug.study.records import FOLDER\n"
    cache, results = run(f"{code}print(json.dumps([str(cache_folder()), str(FOLDER.absolute())]))")
    assert Path(cache).is_relative_to(run.home) and "pplug" in cache
    assert not Path(results).is_relative_to(run.site)


@pytest.mark.fault(19)
def test_a_plug_is_made_and_asked(run):
    code = """
from pplug import PersonalizedLM
model = PersonalizedLM.create("LaMP-4", llm="standin", encoder="minilm", soft_tokens=2)
user = model.user([{"text": "The council met.", "title": "Council meets"}])
question = "Generate a headline for the following article: The river rose."
answer = model.generate(question, user)
print(json.dumps([answer, list(model.soft_prompt(question, user).shape)]))
"""
    answer, shape = run(code)
    assert isinstance(answer, str) and shape[0] == 1 + 2


def test_the_command_line_starts(run):
    code = "import subprocess\ndone = subprocess.run([sys.executable, '-m', 'pplug', '--help'], capture_output=True)\n"
    status, told = run(f"{code}print(json.dumps([done.returncode, done.stdout.decode()]))")
    assert status == 0 and "python -m pplug" in told
