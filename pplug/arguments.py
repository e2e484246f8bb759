"""The arguments of `python -m pplug`, checked before anything runs."""

import argparse
import re
from pathlib import Path

from pplug.base import InputError, shown
from pplug.data import get_task


def _lamp_task(given: str) -> str:
    try:
        return get_task(given).name
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _task(given: str) -> str:
    """The name of one of LaMP's tasks, or what may be that of a folder's own; whether it is one, the folder tells."""
    return given if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", given) else _lamp_task(given)


def _number(least: int, most: int):
    """What argparse takes for a whole number within bounds; beyond them a command would run for ever, or fail late."""

    def parse(given: str) -> int:
        try:
            number = int(given)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            what = f"expected a whole number from {least:,} to {most:,}, found {shown(given)!r}"
            raise argparse.ArgumentTypeError(what)
        return number

    return parse


USERS, SEED = _number(1, 1_000_000), _number(0, 2**32 - 1)  # of a seed, what every library takes


def make_parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m pplug",
        description="Personalise a frozen LLM by one embedding a user.",
        epilog="TASK is LaMP-1 ... LaMP-7, or the name in a data folder's own task.json.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    one = commands.add_parser("simulate", help="write simulated users as LaMP files")
    one.add_argument("task", type=_lamp_task), one.add_argument("folder", type=Path)
    one.add_argument("--users", type=USERS, default=200), one.add_argument("--seed", type=SEED, default=0)

    one = commands.add_parser("plan", help="what a profile will need: parameters, disk, memory, hours")
    one.add_argument("profile", choices=("laptop", "gpu", "paper", "llama", "qwen"))

    one = commands.add_parser("download", help="fetch LaMP's own files (for their licence see LICENCES.md)")
    one.add_argument("tasks", nargs="+", metavar="task", help="LaMP_2, ..., or all")
    one.add_argument("--split", choices=("time", "user"), default="time", help="time-based, as in the paper (default)")
    one.add_argument("--folder", type=Path, help="where to; data/time or data/user if not given")

    for name, what in (("from-table", "a CSV or JSON lines file"), ("from-git", "a git repository's commit messages")):
        one = commands.add_parser(name, help=f"one's own users: {what} as LaMP files")
        one.add_argument("source", type=Path), one.add_argument("--task", type=_task, default="LaMP-4")
        one.add_argument("--folder", type=Path, help="gets a folder LaMP_4 or the like; data/own if not given")

    what = "fill the vector store with a folder's history texts; the processes of `accelerate launch` share them"
    one = commands.add_parser("encode", help=what)
    one.add_argument("task", type=_task), one.add_argument("folder", type=Path)
    one.add_argument("--encoder", default="minilm")

    one = commands.add_parser("forget", help="remove a user: questions, history, vectors")
    one.add_argument("task", type=_task), one.add_argument("folder", type=Path, help="`chat` for the packaged chats")
    one.add_argument("user")
    what = "whose vectors, minilm's if not given; once for each encoder that was used"
    one.add_argument("--encoder", action="append", help=what)
    one.add_argument("--items", nargs="+", default=(), metavar="id", help="only these items of the user's history")

    one = commands.add_parser("standin", help="train the offline stand-in for a real LLM")
    one.add_argument("folder", type=Path, help="where the weights go")
    one.add_argument("--data", type=Path, help="folder of LaMP_4/, ... to learn from; simulated users if not given")
    one.add_argument("--steps", type=_number(1, 10**9)), one.add_argument("--vocabulary", type=_number(300, 10**6))
    one.add_argument("--users", type=USERS, default=1500, help="simulated users of each task")
    one.add_argument("--encoder", default="", choices=("minilm",), help="a pretrained encoder, for real language")

    one = commands.add_parser("train", help="train a plug on the profile's data and save it")
    one.add_argument("task", type=_task), one.add_argument("folder", type=Path)
    one.add_argument("--seed", type=SEED, default=0)
    one.add_argument("--shard-llm", action="store_true", help="spread the LLM over `accelerate launch`'s processes")

    one = commands.add_parser("predict", help="a saved plug's answers to a split, as LaMP's evaluation file")
    one.add_argument("plug", type=Path, help="a folder that `train` wrote")
    one.add_argument("data", type=Path, help="a folder of LaMP files")
    one.add_argument("--split", default="test"), one.add_argument("--beams", type=_number(1, 64), default=4)
    one.add_argument("--out", type=Path, default=Path("predictions.json"))

    one = commands.add_parser("evaluate", help="train or load the profile's plug; print every control beside it")
    one.add_argument("task", type=_task), one.add_argument("--seed", type=SEED, default=0)
    one.add_argument("--out", type=Path, help="a file that also gets the record, as JSON")

    people = commands.add_parser(
        "people", help="real people's chats and a real LLM: train, ask, write records; on a GPU"
    )
    people.add_argument("parts", nargs="*", help="seed-0, words, adapters, ...: only these parts; all if none is named")

    one = commands.add_parser("compare", help="the plug and its rivals: run every group of rows without a record")
    one.add_argument("tasks", nargs="*", type=_task, metavar="task", help="only these; all if none is given")

    return parser
