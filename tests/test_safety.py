"""What the source never does: unpickle, run a model's own code, evaluate text as code."""

import ast
from pathlib import Path

import families
import pytest
import tiny
import torch
from safetensors.torch import load_file

from pplug.base.errors import InputError
from pplug.method.encoders import load_encoder
from pplug.method.llm_loading import load_llm

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path for room in ("pplug", "benchmarks", "tools") for path in (ROOT / room).rglob("*.py"))
READS_PICKLES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
WITHOUT_WEIGHTS = {"AutoConfig", "AutoTokenizer", "PersonalizedLM"}  # classes whose `from_pretrained` may go without


def dangers(source: str) -> list[str]:
    """What in a source could run code that came with data or weights."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [name for name in names if name.split(".")[0] in READS_PICKLES]
        if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
            found += [node.arg] * (ast.unparse(node.value) != "False")
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called == "torch.load" and given.get("weights_only") != "True":
                found.append(called)
            is_llm = called.endswith(".from_pretrained") and called.split(".")[0] not in WITHOUT_WEIGHTS
            # A GGUF file, too, holds numbers and texts alone.
            if is_llm and given.get("use_safetensors") != "True" and "gguf_file" not in given:
                found.append(called)
            if called in ("eval", "exec", "compile", "__import__", "os.system") or given.get("shell") == "True":
                found.append(called)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_comes_with_data_is_run(path):
    assert dangers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "from_pretrained(name, trust_remote_code=True)",
        "from_pretrained(name, trust_remote_code=choice)",
        "AutoModelForCausalLM.from_pretrained(name)",
        "kind.from_pretrained(name, use_safetensors=False)",
        "eval(text)",
        "subprocess.run(line, shell=True)",
    ],
)
def test_the_scan_finds_what_it_looks_for(source):
    assert dangers(source)


def test_an_llm_or_encoder_that_is_a_pickle_is_refused(tmp_path):
    for save, load in ((tiny.save_llm, load_llm), (save_bge, load_encoder)):
        folder = tmp_path / load.__name__
        save("t5", folder)
        load(str(folder))
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        with pytest.raises(InputError, match=f"{folder}.*cannot be loaded.*model.safetensors"):
            load(str(folder))


def save_bge(_, folder):
    families.save_family("bge", folder, ["one two three", "four five"] * 5)


def test_weights_on_disk_are_safetensors_alone():
    kept = {".safetensors", ".json", ".md", ".txt"}
    assert {path.suffix for path in (ROOT / "pplug" / "weights").rglob("*") if path.is_file()} <= kept
