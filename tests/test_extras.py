"""extras.py: a package that is not installed is named, with the command that installs it."""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from pplug.base.errors import InputError
from pplug.base.extras import needing
from pplug.data.retrieval import rank_by_bm25
from pplug.insight import maps, plots

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
PACKAGES = {"umap": "umap-learn", "rank_bm25": "rank-bm25"}  # where the import has another name


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    ("module", "extra", "use"),
    [
        ("umap", "maps", lambda: maps.fit_umap(np.eye(6))),
        ("matplotlib", "notebooks", plots.use_style),
        ("bm25s", "rivals", lambda: rank_by_bm25("river", ["river", "lake"])),
        ("rank_bm25", "rivals", lambda: rank_by_bm25("river", ["river", "lake"], as_lamp=True)),
    ],
)
def test_a_missing_package_is_named_with_the_command(monkeypatch, module, extra, use):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(InputError, match=rf"^{module} is not installed.*: pip install 'pplug\[{extra}\]'$"):
        use()
    package = PACKAGES.get(module, module)
    assert any(line.startswith(package) for line in EXTRAS[extra])


def test_another_error_passes():
    with pytest.raises(ZeroDivisionError), needing("maps"):
        1 / 0  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name"), needing("maps"):
        from json import nothing_of_that_name  # noqa: F401
