"""`python -m pplug <command>`: the long runs behind the notebooks, and the tools for one's own data."""

import argparse
import json
import sys
import time
from pathlib import Path


def main(arguments: list[str] | None = None) -> None:
    """Run one command; `python -m pplug --help` lists them."""
    parser = argparse.ArgumentParser(
        prog="python -m pplug", description="Personalise a frozen LLM by one embedding a user."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    one = commands.add_parser("simulate", help="write simulated users as LaMP files")
    one.add_argument("task"), one.add_argument("folder", type=Path)
    one.add_argument("--users", type=int, default=200), one.add_argument("--seed", type=int, default=0)

    one = commands.add_parser("plan", help="what a profile will need: parameters, disk, memory, hours")
    one.add_argument("profile", choices=("laptop", "gpu", "paper", "llama", "qwen"))

    one = commands.add_parser("download", help="fetch LaMP's own files (CC BY-NC-SA 4.0)")
    one.add_argument("tasks", nargs="+", metavar="task", help="LaMP_2, ..., or all")
    one.add_argument("--split", choices=("time", "user"), default="time", help="time-based, as in the paper (default)")
    one.add_argument("--folder", type=Path, help="where to; data/time or data/user if not given")

    for name, what in (("from-table", "a CSV or JSON lines file"), ("from-git", "a git repository's commit messages")):
        one = commands.add_parser(name, help=f"one's own users: {what} as LaMP files")
        one.add_argument("source", type=Path), one.add_argument("--task", default="LaMP-4")
        one.add_argument("--folder", type=Path, default=Path("data/own"), help="gets a folder LaMP_4 or the like")

    one = commands.add_parser("encode", help="fill the vector store with a folder's history texts")
    one.add_argument("task"), one.add_argument("folder", type=Path), one.add_argument("--encoder", default="minilm")
    one.add_argument("--shard", default="1/1", help="i/n: the i-th of n parts, to share the work between workers")

    one = commands.add_parser("forget", help="remove a user: questions, history, vectors")
    one.add_argument("task"), one.add_argument("folder", type=Path), one.add_argument("user")
    one.add_argument("--encoder", default="minilm", help="whose vectors; once for each encoder that was used")
    one.add_argument("--items", nargs="+", default=(), metavar="id", help="only these items of the user's history")

    one = commands.add_parser("standin", help="train the offline stand-in for a real LLM")
    one.add_argument("folder", type=Path, help="where the weights go")
    one.add_argument("--data", type=Path, help="folder of LaMP_4/, ... to learn from; simulated users if not given")
    one.add_argument("--steps", type=int), one.add_argument("--vocabulary", type=int)
    one.add_argument("--users", type=int, default=1500, help="simulated users of each task")
    one.add_argument("--encoder", default="", choices=("minilm",), help="a pretrained encoder, for real language")

    one = commands.add_parser("train", help="train a plug on the profile's data and save it")
    one.add_argument("task"), one.add_argument("folder", type=Path), one.add_argument("--seed", type=int, default=0)
    one.add_argument("--shard-llm", action="store_true", help="spread the LLM over `accelerate launch`'s processes")

    one = commands.add_parser("predict", help="a saved plug's answers to a split, as LaMP's evaluation file")
    one.add_argument("plug", type=Path, help="a folder that `train` wrote")
    one.add_argument("data", type=Path, help="a folder of LaMP files")
    one.add_argument("--split", default="test"), one.add_argument("--beams", type=int, default=4)
    one.add_argument("--out", type=Path, default=Path("predictions.json"))

    one = commands.add_parser("evaluate", help="train or load the profile's plug; print every control beside it")
    one.add_argument("task"), one.add_argument("--seed", type=int, default=0)

    one = commands.add_parser("grid", help="run all experiments that have no record under results/ yet")
    one.add_argument("--group", choices=("main", "ablation"))

    one = commands.add_parser("compare", help="the plug and its rivals: run every group of rows without a record")
    one.add_argument("tasks", nargs="*", metavar="task", help="only these; all if none is given")

    commands.add_parser("readme", help="write the tables of the records into README.md")

    chosen = parser.parse_args(arguments)
    COMMANDS[chosen.command](chosen)


def _simulate(chosen) -> None:
    from pplug.simulate import simulate

    print(simulate(chosen.folder, chosen.task, chosen.users, chosen.seed))


def _plan(chosen) -> None:
    from pplug.config import get_profile
    from pplug.plan import plan

    print(plan(get_profile(chosen.profile)))


def _download(chosen) -> None:
    from pplug.download import DownloadError, download
    from pplug.tasks import TASKS, get_task

    folder = chosen.folder or Path("data") / chosen.split
    for task in TASKS if chosen.tasks == ["all"] else [get_task(name).name for name in chosen.tasks]:
        try:
            print(download(folder / task.replace("-", "_"), task, chosen.split == "time"), flush=True)
        except DownloadError as error:
            sys.exit(str(error))


def _own(chosen) -> None:
    from pplug.data import DataError
    from pplug.own_users import read_git, read_table, write_users

    folder = chosen.folder / chosen.task.replace("-", "_")
    try:
        texts = read_git(chosen.source) if chosen.command == "from-git" else read_table(chosen.source)
        told = write_users(folder, chosen.task, texts)
    except (DataError, OSError) as error:
        sys.exit(str(error))
    print(f"{folder}: {told['users']} users, {told['texts']} texts; left out, too few texts: {told['left_out']} users")


def _encode(chosen) -> None:
    from pplug.data import load
    from pplug.encoders import encode, load_encoder

    part, parts = (int(number) for number in chosen.shard.split("/"))
    if not 1 <= part <= parts:
        sys.exit(f"--shard {chosen.shard}: expected i/n with i from 1 to n")
    texts = load(chosen.folder, chosen.task).history_texts()[part - 1 :: parts]
    vectors = encode(load_encoder(chosen.encoder), texts)
    print(f"{vectors.shape[0]} history items, {vectors.shape[1]} numbers each")


def _forget(chosen) -> None:
    from pplug.data import DataError
    from pplug.encoders import load_encoder
    from pplug.forget import forget

    try:
        told = forget(chosen.folder, chosen.task, chosen.user, load_encoder(chosen.encoder), chosen.items)
    except DataError as error:
        sys.exit(str(error))
    print(
        f"removed: {told['questions']} questions, {told['texts']} texts only this user had, {told['vectors']} vectors"
    )


def _standin(chosen) -> None:
    from dataclasses import replace

    from pplug.curriculum import Recipe, lamp_writers, simulated_writers
    from pplug.data import load
    from pplug.results import environment
    from pplug.standin import save_standin, train_standin
    from pplug.standin_check import HELD_OUT_PREFIX, HELD_OUT_SEED, check
    from pplug.standin_minilm import MINILM
    from pplug.tasks import TASKS

    given = {"steps": chosen.steps, "vocabulary": chosen.vocabulary}
    start_from = MINILM if chosen.encoder == "minilm" else Recipe()
    recipe = replace(start_from, **{name: value for name, value in given.items() if value})
    if chosen.data:
        sets = {t: load(f, t) for t in TASKS if (f := chosen.data / t.replace("-", "_")).is_dir()}
        learn = {task: lamp_writers(data) for task, data in sets.items()}
        held_out = {task: lamp_writers(data, "dev") for task, data in sets.items()}
        source = {"data": {task: data.hash for task, data in sets.items()}}
    else:
        learn = {task: simulated_writers(task, chosen.users, SIMULATED_SEED, "p") for task in TASKS}
        held_out = {task: simulated_writers(task, 200, HELD_OUT_SEED, HELD_OUT_PREFIX) for task in TASKS}
        source = {"simulated_users_a_task": chosen.users, "simulated_seed": SIMULATED_SEED}
    start = time.perf_counter()
    writers = [writer for some in learn.values() for writer in some]
    model, tokenizer = train_standin(
        writers, recipe, chosen.folder / "checkpoint.pt", lambda line: print(line, flush=True)
    )
    about = source | {"seconds": round(time.perf_counter() - start), **environment()}
    save_standin(chosen.folder, model, tokenizer, recipe, about)
    scores = {task: check(model, tokenizer, writers) for task, writers in held_out.items()}
    _write(chosen.folder / "scores.json", scores)
    (chosen.folder / "checkpoint.pt").unlink()
    print(json.dumps({task: found["gains"] for task, found in scores.items()}, indent=1))


SIMULATED_SEED = 101  # of the stand-in's training users; the experiments' users have another


def _train(chosen) -> None:
    from dataclasses import replace

    from pplug.config import get_profile
    from pplug.experiment import fit

    fitted = fit(chosen.task, replace(get_profile(), sharded=chosen.shard_llm), chosen.seed)
    print(fitted.model.save_pretrained(chosen.folder), f"({fitted.seconds:.0f} s of training)")


def _predict(chosen) -> None:
    from pplug.data import load
    from pplug.model import PersonalizedLM
    from pplug.predictions import write_predictions

    model = PersonalizedLM.from_pretrained(chosen.plug)
    data = load(chosen.data, model.facts["task"])
    options = {"num_beams": chosen.beams, "max_new_tokens": data.task.max_new_tokens}
    print(write_predictions(model, data, chosen.split, chosen.out, **options))


def _evaluate(chosen) -> None:
    from pplug.config import get_profile
    from pplug.experiment import run_cell
    from pplug.results import gain_table

    profile = get_profile()
    record = run_cell(chosen.task, profile, chosen.seed, f"main-{profile.name}")
    for row, metrics in record["metrics"].items():
        told = "  ".join(f"{name} {i['mean']:.3f} [{i['low']:.3f}, {i['high']:.3f}]" for name, i in metrics.items())
        print(f"{row:32} {told}")
    print(gain_table([record]))


def _grid(chosen) -> None:
    from pplug.config import get_profile
    from pplug.grid import run_grid

    run_grid(get_profile(), chosen.group, lambda line: print(line, flush=True))


def _compare(chosen) -> None:
    from pplug.compare import run
    from pplug.config import get_profile
    from pplug.tasks import get_task

    run(get_profile(), [get_task(name).name for name in chosen.tasks], lambda line: print(line, flush=True))


def _readme(chosen) -> None:
    from pplug.readme import update

    update()


def _write(path: Path, value) -> None:
    from pplug.files import write_text

    write_text(path, json.dumps(value, indent=1) + "\n")


COMMANDS = {
    "simulate": _simulate,
    "plan": _plan,
    "download": _download,
    "from-table": _own,
    "from-git": _own,
    "encode": _encode,
    "forget": _forget,
    "standin": _standin,
    "train": _train,
    "predict": _predict,
    "evaluate": _evaluate,
    "grid": _grid,
    "compare": _compare,
    "readme": _readme,
}

if __name__ == "__main__":
    main()
