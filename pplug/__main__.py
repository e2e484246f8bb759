"""`python -m pplug <command>`: the long runs behind the notebooks, and the tools for one's own data."""

import json
import sys
import time
from pathlib import Path

from pplug.arguments import make_parser
from pplug.base.errors import InputError


def main(arguments: list[str] | None = None) -> None:
    """Run one command; `python -m pplug --help` lists them.

    Raises:
        SystemExit: What was given cannot be used, with the message. Any other error is a fault of the program.
    """
    chosen = make_parser().parse_args(arguments)
    try:
        COMMANDS[chosen.command](chosen)
    except (InputError, OSError) as error:
        sys.exit(str(error))


def _simulate(chosen) -> None:
    from pplug.offline.simulate import simulate

    print(simulate(chosen.folder, chosen.task, chosen.users, chosen.seed))


def _plan(chosen) -> None:
    from pplug.config import get_profile
    from pplug.study.plan import plan

    print(plan(get_profile(chosen.profile)))


def _download(chosen) -> None:
    from pplug.base.files import project_folder
    from pplug.data.tasks import TASKS, get_task
    from pplug.sources.download import download

    folder = chosen.folder or project_folder() / "data" / chosen.split
    for task in TASKS if chosen.tasks == ["all"] else [get_task(name).name for name in chosen.tasks]:
        print(download(folder / task.replace("-", "_"), task, chosen.split == "time"), flush=True)


def _own(chosen) -> None:
    from pplug.base.files import project_folder
    from pplug.data.tasks import get_task
    from pplug.sources.own_users import read_git, read_table, write_users

    folder = (chosen.folder or project_folder() / "data" / "own") / chosen.task.replace("-", "_")
    task = get_task(chosen.task, folder)
    texts = read_git(chosen.source) if chosen.command == "from-git" else read_table(chosen.source)
    told = write_users(folder, task, texts)
    print(f"{folder}: {told['users']} users, {told['texts']} texts; left out, too few texts: {told['left_out']} users")


def _encode(chosen) -> None:
    from pplug.data.loading import load
    from pplug.method.encoders import encode, load_encoder

    part, parts = chosen.shard
    texts = load(chosen.folder, chosen.task).history_texts()[part - 1 :: parts]
    vectors = encode(load_encoder(chosen.encoder), texts)
    print(f"{vectors.shape[0]} history items, {vectors.shape[1]} numbers each")


def _forget(chosen) -> None:
    from pplug.data.tasks import get_task
    from pplug.method.encoders import load_encoder
    from pplug.sources.forget import forget

    task = get_task(chosen.task, chosen.folder)
    told = forget(chosen.folder, task, chosen.user, load_encoder(chosen.encoder), chosen.items)
    print(
        f"removed: {told['questions']} questions, {told['texts']} texts only this user had, {told['vectors']} vectors"
    )


def _standin(chosen) -> None:
    from dataclasses import replace

    from pplug.data.loading import examples_with_output, load
    from pplug.data.tasks import TASKS
    from pplug.offline.curriculum import LEARNT_SEED, Recipe, lamp_writers, simulated_writers
    from pplug.offline.standin import save_standin, train_standin
    from pplug.offline.standin_check import HELD_OUT_PREFIX, HELD_OUT_SEED, check
    from pplug.offline.standin_minilm import MINILM
    from pplug.study.records import environment

    given = {"steps": chosen.steps, "vocabulary": chosen.vocabulary}
    start_from = MINILM if chosen.encoder == "minilm" else Recipe()
    recipe = replace(start_from, **{name: value for name, value in given.items() if value})
    if chosen.data:
        sets = {t: load(f, t) for t in TASKS if (f := chosen.data / t.replace("-", "_")).is_dir()}
        if not sets:
            raise InputError(f"{chosen.data}: expected a folder that holds LaMP_1, LaMP_2, ...: none is here")
        learn = {task: lamp_writers(data) for task, data in sets.items()}
        checked = {task: data for task, data in sets.items() if examples_with_output(data, "dev")}
        held_out = {task: lamp_writers(data, "dev") for task, data in checked.items()}
        source = {"data": {task: data.hash for task, data in sets.items()}}
    else:
        learn = {task: simulated_writers(task, chosen.users, LEARNT_SEED, "p") for task in TASKS}
        held_out = {task: simulated_writers(task, 200, HELD_OUT_SEED, HELD_OUT_PREFIX) for task in TASKS}
        source = {"simulated_users_a_task": chosen.users, "simulated_seed": LEARNT_SEED}
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


def _train(chosen) -> None:
    from dataclasses import replace

    from pplug.config import get_profile
    from pplug.study.experiment import fit

    fitted = fit(chosen.task, replace(get_profile(), sharded=chosen.shard_llm), chosen.seed)
    print(fitted.model.save_pretrained(chosen.folder), f"({fitted.seconds:.0f} s of training)")


def _predict(chosen) -> None:
    from pplug.data.loading import load
    from pplug.method.personalized import PersonalizedLM
    from pplug.method.predictions import write_predictions

    model = PersonalizedLM.from_pretrained(chosen.plug)
    data = load(chosen.data, model.task)
    options = {"num_beams": chosen.beams, "max_new_tokens": data.task.max_new_tokens}
    print(write_predictions(model, data, chosen.split, chosen.out, **options))


def _evaluate(chosen) -> None:
    from pplug.config import get_profile
    from pplug.study.compare import evaluate
    from pplug.study.tables import gain_table

    record = evaluate(chosen.task, get_profile(), chosen.seed)
    for row, metrics in record["metrics"].items():
        told = "  ".join(f"{name} {i['mean']:.3f} [{i['low']:.3f}, {i['high']:.3f}]" for name, i in metrics.items())
        print(f"{row:32} {told}")
    print(gain_table([record]))
    if chosen.out:
        _write(chosen.out, record)


def _compare(chosen) -> None:
    from pplug.config import get_profile
    from pplug.study.compare import run

    run(get_profile(), chosen.tasks, lambda line: print(line, flush=True))


def _write(path: Path, value) -> None:
    from pplug.base.files import write_text

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
    "compare": _compare,
}

if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # a path or user may hold what the terminal cannot show
    main()
