"""A saved plug: one file, `plug.safetensors`, whose metadata holds the plug's config and the facts about it.

One file, so that weights and config are always of one plug, wherever writing was interrupted. What does not fit
together, or stood in front of another LLM or encoder, is refused.
"""

import json
from dataclasses import MISSING, asdict, fields, replace
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

import pplug.method.fingerprints as fingerprints
from pplug.base import DataError, InputError, parse_json, shown, write_bytes
from pplug.data import get_task
from pplug.method.embedder import Plug
from pplug.method.encoders import Encoder, load_encoder
from pplug.method.llm_loading import load_llm
from pplug.method.plug_config import PlugConfig

FILE, KEY = "plug.safetensors", "pplug"  # the file, and what its metadata calls the plug's config and facts
OLD_CONFIG = "plug.json"  # the second file of plugs that were saved before
NAMED = ("llm", "encoder")  # what the facts must name, besides the task
BACKBONE = "input_encoder.backbone."  # of weights whose names and shapes the encoder decides
VERSIONS = {"llm": ("transformers",), "encoder": ("transformers", "sentence-transformers")}


def facts_of(model) -> dict:
    """The facts a plug is saved with: task, data hash, names and fingerprints of its LLM and its encoder.

    Args:
        model: A `PersonalizedLM` with a plug and an encoder.

    Returns:
        The model's own facts, with `"llm"` and `"encoder"` where they are not named yet, `"llm_revision"` and
        `"encoder_revision"`, the commits of what came from the hub, and `"fingerprints"`.
    """
    names = {"llm": getattr(model.llm, "name_or_path", "") or type(model.llm).__name__, "encoder": model.encoder.name}
    revisions = {"llm": getattr(model.llm.config, "_commit_hash", None), "encoder": _revision(model.encoder)}
    made = {
        "llm": fingerprints.llm_fingerprint(model.llm, model.tokenizer),
        "encoder": fingerprints.encoder_fingerprint(model.encoder),
        "precision": fingerprints.precision(model.llm),
        "versions": {name: version(name) for name in VERSIONS["encoder"]},
    }
    commits = {f"{what}_revision": commit for what, commit in revisions.items() if commit}
    return names | model.facts | commits | {"fingerprints": made}


def write_plug(folder: Path, plug: Plug, weights: dict[str, Tensor], facts: dict, half: bool = False) -> None:
    """Write a plug's weights, its config and the facts about it, as one file; on request in half precision.

    Raises:
        InputError: A weight is not finite; what was saved before is untouched.
    """
    from safetensors.torch import save

    for name, value in weights.items():
        if not value.isfinite().all():
            told = f"{name} holds numbers that are not finite: its training has diverged; try a lower learning rate"
            raise InputError(f"{folder / FILE}: not saved: {told}")
    told = json.dumps({"plug": asdict(plug.config), **facts})
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    if half:
        tensors = {name: value.half() for name, value in tensors.items()}
    write_bytes(folder / FILE, save(tensors, metadata={KEY: told}))


def read_plug(path: Path) -> tuple[dict, PlugConfig, dict[str, Tensor]]:
    """Read a saved plug: the facts about it, its config, and its weights, which fit the config.

    Args:
        path: Of the file.

    Raises:
        FileNotFoundError: There is no plug.
        DataError: The file is not what `write_plug` writes; the message names file and field.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path.parent}: no saved plug here: expected {FILE}")
    told, weights = _read_file(path)
    facts, config = _read_facts(told, path)
    with torch.device("meta"):  # shapes alone: numbers as large as a broken file may name take no memory
        try:
            empty = Plug(replace(config, train_input_encoder=False))
        except (RuntimeError, TypeError, OverflowError) as error:
            raise DataError(f"{path}: expected a plug that fits into memory: {str(error).splitlines()[0]}") from error
    expected = empty.state_dict()
    if any(name.startswith(BACKBONE) for name in weights) and config.train_input_encoder:
        expected.pop("input_encoder.map.weight", None)
        expected |= {name: value for name, value in weights.items() if name.startswith(BACKBONE)}
    check_weights(path, weights, expected)
    return facts, config, weights


def check_weights(path: Path, weights: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Check that a saved plug's weights are those its config asks for, by name, shape and type.

    Raises:
        DataError: They are not.
    """
    for name in sorted(weights.keys() ^ expected.keys()):
        what = "is missing" if name in expected else "is one too many"
        raise DataError(f"{path}: expected the weights of the plug in its config: {shown(name)} {what}")
    for name, value in expected.items():
        wanted, found = ((str(w.dtype).removeprefix("torch."), list(w.shape)) for w in (value, weights[name]))
        if wanted != found:
            raise DataError(f"{path}: {shown(name)}: expected {wanted[0]} {wanted[1]}, found {found[0]} {found[1]}")


def load_parts(path: Path, facts: dict, config: PlugConfig, llm, tokenizer, encoder, **options) -> tuple:
    """Load the LLM and the encoder a saved plug names, or take others, and check that they are those of its training.

    Args:
        path: The plug's file, for errors.
        facts: About the plug, from `read_plug`.
        config: The plug's.
        llm: A name or a loaded LLM; None for the one the plug names.
        tokenizer: The LLM's; None for the one that comes with its name.
        encoder: A name or an `Encoder`; None for the one the plug names.
        **options: For `load_llm`; of no effect where None.

    Returns:
        `(llm, tokenizer, encoder)`.

    Raises:
        DataError: One of them cannot be loaded, or is not the one the plug was trained with.
    """
    options = {name: value for name, value in options.items() if value is not None}
    device = {"device": options["device"]} if "device" in options else {}
    try:
        if llm is None:
            llm, revision = facts["llm"], facts.get("llm_revision")
            options |= {"revision": revision} if revision else {}
        llm, tokenizer = load_llm(llm, tokenizer, **options)
        if encoder is None:
            revision = facts.get("encoder_revision")
            encoder = load_encoder(facts["encoder"], **device, **({"revision": revision} if revision else {}))
        elif isinstance(encoder, str | Path):
            encoder = load_encoder(str(encoder), **device)
    except InputError as error:
        raise DataError(f"{path}: {error}") from error
    widths = {"llm_width": llm.get_input_embeddings().weight.shape[1], "encoder_width": encoder.width}
    for field, width in widths.items():
        if getattr(config, field) != width:
            found = f"found {getattr(config, field)}"
            raise DataError(f"{path}: {field}: expected {width}, the width of what it names, {found}")
    _check_fingerprints(path, facts, llm, tokenizer, encoder)
    return llm, tokenizer, encoder


def _check_fingerprints(path: Path, facts: dict, llm, tokenizer, encoder: Encoder) -> None:
    """Refuse an LLM or an encoder that is not the one of the plug's training.

    What a library reads from a file may change with its version: under another one than at saving, weights alone are
    compared. Weights that were quantised, or are in float16 here and not there, cannot be compared.
    """
    saved, precision = facts["fingerprints"], fingerprints.precision(llm)
    kinds = {
        "llm": ("LLM", fingerprints.LLM_PARTS, fingerprints.llm_fingerprint(llm, tokenizer), llm),
        "encoder": ("encoder", fingerprints.ENCODER_PARTS, fingerprints.encoder_fingerprint(encoder), encoder),
    }
    for what, (called, parts, found, loaded) in kinds.items():
        differ = fingerprints.difference(parts, saved[what], found)
        if any(saved["versions"].get(name) != version(name) for name in VERSIONS[what]):
            differ &= {"weights"}
        if what == "llm" and not fingerprints.has_same_weights(saved["precision"], precision):
            differ -= {"weights"}
        if differ:
            name = getattr(loaded, "name_or_path", "") or getattr(loaded, "name", "") or "the one given"
            other = f"{shown(str(name))!r} differs from it in {' and '.join(p for p in parts if p in differ)}"
            way = f"give the one of the training by `{what}=`, or train the plug anew"
            raise DataError(f"{path}: trained with the {called} {shown(facts[what])!r}, but {other}: {way}")


def _revision(encoder: Encoder) -> str | None:
    """The hub's commit of an encoder's transformer, if it came from there."""
    model = getattr(encoder.module, "transformers_model", None)
    return getattr(getattr(model, "config", None), "_commit_hash", None)


def _read_facts(told: str, path: Path) -> tuple[dict, PlugConfig]:
    """The facts about a plug and its config, from the text in the file's metadata."""
    facts = parse_json(told, str(path))
    if not isinstance(facts, dict) or not isinstance(facts.get("plug"), dict):
        raise DataError(f'{path}: expected an object with the plug\'s config as "plug"')
    for name in NAMED:
        if not isinstance(facts.get(name), str) or not facts[name].strip():
            raise DataError(f'{path}: expected a name as "{name}", found {shown(repr(facts.get(name)))}')
    prints = facts.get("fingerprints")
    is_whole = isinstance(prints, dict) and isinstance(prints.get("versions"), dict)
    if not is_whole or not all(isinstance(prints.get(name), str) for name in (*NAMED, "precision")):
        raise DataError(f'{path}: expected fingerprints of LLM and encoder as "fingerprints"')
    given, known = facts.pop("plug"), {field.name: field for field in fields(PlugConfig)}
    needed = {name for name, field in known.items() if field.default is MISSING}
    for name in sorted((given.keys() - known.keys()) | (needed - given.keys())):
        what = "is missing" if name in known else "is none of a plug's"
        raise DataError(f'{path}: expected the fields {", ".join(known)} in "plug": {shown(name)} {what}')
    try:
        get_task(facts.get("task"))
        return facts, PlugConfig(**given)
    except InputError as error:
        raise DataError(f"{path}: {error}") from error


def _read_file(path: Path) -> tuple[str, dict[str, Tensor]]:
    """The text in the metadata and the weights; both of one file, even if it is replaced meanwhile."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            told = (file.metadata() or {}).get(KEY)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            weights = {name: w.float() if w.dtype == torch.float16 else w for name, w in weights.items()}
    except (SafetensorError, OSError, KeyError) as error:  # KeyError: a type of number that torch does not have
        raise DataError(f"{path}: expected a safetensors file, but it is damaged or truncated: {error}") from error
    if told is None and (path.parent / OLD_CONFIG).exists():
        told = "saved by an earlier version as two files, which may be of two plugs: train it anew"
        raise DataError(f"{path}: expected a plug in one file; this one was {told}")
    if told is None:
        raise DataError(f"{path}: expected a plug's config in the file's metadata as {KEY!r}, found none")
    for name, value in weights.items():
        if not value.isfinite().all():
            raise DataError(f"{path}: {shown(name)}: expected finite numbers")
    return told, weights
