"""A saved plug, `plug.json` and `plug.safetensors`: what does not fit together is refused before anything is loaded."""

import json
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from pplug.base.errors import DataError, InputError
from pplug.base.files import write_bytes, write_text
from pplug.base.reading import read_json, shown
from pplug.data.tasks import get_task
from pplug.method.embedder import Plug
from pplug.method.plug_config import PlugConfig

WEIGHTS, CONFIG = "plug.safetensors", "plug.json"
NAMED = ("llm", "encoder", "task")  # what `plug.json` must name
BACKBONE = "input_encoder.backbone."  # of weights whose names and shapes the encoder decides


def write_plug(folder: Path, plug: Plug, weights: dict[str, Tensor], facts: dict) -> None:
    """Write a plug's weights, its config and the facts about it."""
    from safetensors.torch import save

    write_bytes(folder / WEIGHTS, save({name: value.detach().cpu().contiguous() for name, value in weights.items()}))
    write_text(folder / CONFIG, json.dumps({"plug": asdict(plug.config), **facts}, indent=1))


def read_plug(folder: Path) -> tuple[dict, PlugConfig, dict[str, Tensor]]:
    """Read a saved plug: the facts about it, its config, and its weights, which fit the config.

    Raises:
        FileNotFoundError: There is no plug in the folder.
        DataError: A file is not what `write_plug` writes; the message names file and field.
    """
    for name in (WEIGHTS, CONFIG):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder}: no saved plug here: expected {WEIGHTS} and {CONFIG}")
    facts, config = _read_config(folder / CONFIG)
    weights = _read_weights(folder / WEIGHTS)
    with torch.device("meta"):  # shapes alone: numbers as large as a broken file may name take no memory
        try:
            empty = Plug(replace(config, train_input_encoder=False))
        except (RuntimeError, TypeError, OverflowError) as error:
            raise DataError(
                f"{folder / CONFIG}: expected a plug that fits into memory: {str(error).splitlines()[0]}"
            ) from error
    expected = empty.state_dict()
    if any(name.startswith(BACKBONE) for name in weights) and config.train_input_encoder:
        expected.pop("input_encoder.map.weight", None)
        expected |= {name: value for name, value in weights.items() if name.startswith(BACKBONE)}
    check_weights(folder, weights, expected)
    return facts, config, weights


def check_weights(folder: Path, weights: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Check that a saved plug's weights are those its config asks for, by name, shape and type.

    Raises:
        DataError: They are not.
    """
    path = folder / WEIGHTS
    for name in sorted(weights.keys() ^ expected.keys()):
        what = "is missing" if name in expected else "is one too many"
        raise DataError(f"{path}: expected the weights of the plug in {CONFIG}: {shown(name)} {what}")
    for name, value in expected.items():
        wanted, found = ((str(w.dtype).removeprefix("torch."), list(w.shape)) for w in (value, weights[name]))
        if wanted != found:
            raise DataError(f"{path}: {shown(name)}: expected {wanted[0]} {wanted[1]}, found {found[0]} {found[1]}")


def _read_config(path: Path) -> tuple[dict, PlugConfig]:
    facts = read_json(path)
    if not isinstance(facts, dict) or not isinstance(facts.get("plug"), dict):
        raise DataError(f'{path}: expected an object with the plug\'s config as "plug"')
    for name in NAMED:
        if not isinstance(facts.get(name), str) or not facts[name].strip():
            raise DataError(f'{path}: expected a name as "{name}", found {shown(repr(facts.get(name)))}')
    given, known = facts.pop("plug"), {field.name: field for field in fields(PlugConfig)}
    needed = {name for name, field in known.items() if field.default is MISSING}
    for name in sorted((given.keys() - known.keys()) | (needed - given.keys())):
        what = "is missing" if name in known else "is none of a plug's"
        raise DataError(f'{path}: expected the fields {", ".join(known)} in "plug": {shown(name)} {what}')
    try:
        get_task(facts["task"])
        return facts, PlugConfig(**given)
    except InputError as error:
        raise DataError(f"{path}: {error}") from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (SafetensorError, OSError, KeyError) as error:  # KeyError: a type of number that torch does not have
        raise DataError(f"{path}: expected a safetensors file, but it is damaged or truncated: {error}") from error
    for name, value in weights.items():
        if not value.isfinite().all():
            raise DataError(f"{path}: {shown(name)}: expected finite numbers")
    return weights
