"""A trained plug's answers to a split as LaMP's evaluation file, `{"task", "golds": [{"id", "output"}]}`: resumable."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from pplug.base import InputError, shown, track, write_text
from pplug.data import Data
from pplug.method.batches import prepare
from pplug.method.evaluation import predict
from pplug.method.fingerprints import encoder_fingerprint, llm_fingerprint
from pplug.method.model import PromptedLM

CHUNK = 256  # questions whose answers are lost at most when a run is killed


def write_predictions(model: PromptedLM, data: Data, split: str, path: str | Path, **options) -> Path:
    """Answer a split's questions and write the answers as LaMP's evaluator reads them.

    The plug may have been trained on other data: another split, or other users of the same task. Answers are kept as
    they come, in a hidden file beside `path`; a run that was stopped goes on behind them if plug, data and options are
    the same.

    Args:
        model: The trained plug in front of its LLM.
        data: Of the plug's task.
        split: `train`, `dev` or `test`.
        path: Where the file goes.
        **options: For the LLM's `generate`.

    Returns:
        The path.

    Raises:
        InputError: The data has no such split, or is of another task than the plug; or the path is a folder.
    """
    path, task = Path(path), data.task.name
    if split not in data.splits:
        raise InputError(f"{task}: no {shown(split)} questions in this data; it has {', '.join(data.splits)}")
    if "task" in model.facts and model.task != data.task:
        other = model.task.name if model.task.name != task else f"another task of the name {task}"
        raise InputError(f"this plug was trained for {other}, the data is of {task}")
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file for the answers, this is a folder")
    part = path.with_name(f".{path.name}.part")
    head = json.dumps([data.hash, split, _fingerprint(model), options], sort_keys=True)
    examples = data.splits[split].to_list()
    answers = _kept(part, head)[: len(examples)]
    write_text(part, "".join(f"{line}\n" for line in (head, *map(json.dumps, answers))))
    left = examples[len(answers) :]
    prepared = prepare(model, data, left) if left else []
    with part.open("a", encoding="utf-8") as file:
        for start in track(range(0, len(left), CHUNK), label=f"answering {len(left):,} questions"):
            texts = predict(model, prepared[start : start + CHUNK], **options)
            for text in texts:
                file.write(json.dumps(text) + "\n")
            file.flush()
            answers += texts
    golds = [{"id": example["id"], "output": text} for example, text in zip(examples, answers, strict=True)]
    write_text(path, json.dumps({"task": task.replace("-", "_"), "golds": golds}, indent=1, ensure_ascii=False))
    part.unlink()
    return path


def _kept(part: Path, head: str) -> list[str]:
    """The answers an earlier run left, if it was the same run, up to the first line that is damaged."""
    lines = part.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] if part.exists() else []
    answers = []
    for line in lines[1:] if lines[:1] == [head] else []:
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(answer, str):
            break
        answers.append(answer)
    return answers


def _fingerprint(model: PromptedLM) -> list:
    """What decides a plug's answers: its config and weights, its LLM, its encoder."""
    digest = hashlib.sha256(json.dumps(asdict(model.plug.config), sort_keys=True).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().float().cpu().numpy().tobytes())
    return [digest.hexdigest(), llm_fingerprint(model.llm, model.tokenizer), encoder_fingerprint(model.encoder)]
