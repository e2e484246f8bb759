"""`python -m pplug <command>`: the long runs behind the notebooks, and the tools for one's own data."""

import json
import sys
from pathlib import Path

from pplug.arguments import make_parser
from pplug.base import InputError


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
    from pplug.study import make_plan

    print(make_plan(get_profile(chosen.profile)))


def _download(chosen) -> None:
    from pplug.base import project_folder
    from pplug.data import TASKS, get_task
    from pplug.sources.download import download

    folder = chosen.folder or project_folder() / "data" / chosen.split
    for task in TASKS if chosen.tasks == ["all"] else [get_task(name).name for name in chosen.tasks]:
        print(download(folder / task.replace("-", "_"), task, chosen.split == "time"), flush=True)


def _own(chosen) -> None:
    from pplug.base import project_folder
    from pplug.data import get_task
    from pplug.sources.own_users import read_git, read_table, write_users

    folder = (chosen.folder or project_folder() / "data" / "own") / chosen.task.replace("-", "_")
    task = get_task(chosen.task, folder)
    texts = read_git(chosen.source) if chosen.command == "from-git" else read_table(chosen.source)
    told = write_users(folder, task, texts)
    print(f"{folder}: {told['users']} users, {told['texts']} texts; left out, too few texts: {told['left_out']} users")


def _encode(chosen) -> None:
    from pplug.base import process_place
    from pplug.data import load
    from pplug.method import encode_shared, load_encoder

    part, parts = process_place()
    data = load(chosen.folder, chosen.task)
    own = encode_shared(load_encoder(chosen.encoder), data.each_history_text(), part, parts)
    shared = f", the share of process {part + 1} of {parts}" if parts > 1 else ""
    print(f"{own} distinct history texts are in the store{shared}")


def _forget(chosen) -> None:
    from pplug.data import get_task
    from pplug.method import load_encoder
    from pplug.sources.forget import forget, forget_person

    encoders = [load_encoder(name) for name in chosen.encoder or ["minilm"]]
    if str(chosen.folder) == "chat":  # not a folder of LaMP files: the packaged chats
        told = forget_person(chosen.user, encoders)
    else:
        told = forget(chosen.folder, get_task(chosen.task, chosen.folder), chosen.user, encoders, chosen.items)
    print(
        f"removed: {told['questions']} questions, {told['texts']} texts only this user had, {told['vectors']} vectors"
    )


def _standin(chosen) -> None:
    from pplug.offline.make_standin import make_standin
    from pplug.study import environment

    size = {"steps": chosen.steps, "vocabulary": chosen.vocabulary}
    source = chosen.data if chosen.data else chosen.users
    scores = make_standin(chosen.folder, source, chosen.encoder, size, environment())
    print(json.dumps({task: found["gains"] for task, found in scores.items()}, indent=1))


def _train(chosen) -> None:
    from dataclasses import replace

    from pplug.config import get_profile
    from pplug.study import fit

    fitted = fit(chosen.task, replace(get_profile(), sharded=chosen.shard_llm), chosen.seed)
    print(fitted.model.save_pretrained(chosen.folder), f"({fitted.seconds:.0f} s of training)")


def _predict(chosen) -> None:
    from pplug.data import load
    from pplug.method import PersonalizedLM, new_tokens, write_predictions

    model = PersonalizedLM.from_pretrained(chosen.plug)
    data = load(chosen.data, model.task)
    options = {"num_beams": chosen.beams, "max_new_tokens": new_tokens(data.task, model.tokenizer)}
    print(write_predictions(model, data, chosen.split, chosen.out, **options))


def _evaluate(chosen) -> None:
    from pplug.config import get_profile
    from pplug.study import evaluate_live, gain_table

    record = evaluate_live(chosen.task, get_profile(), chosen.seed)
    for row, metrics in record["metrics"].items():
        told = "  ".join(f"{name} {i['mean']:.3f} [{i['low']:.3f}, {i['high']:.3f}]" for name, i in metrics.items())
        print(f"{row:32} {told}")
    print(gain_table([record]))
    if chosen.out:
        _write(chosen.out, record)


def _compare(chosen) -> None:
    from pplug.config import get_profile
    from pplug.study import run_groups

    run_groups(get_profile(), chosen.tasks, lambda line: print(line, flush=True))


def _people(chosen) -> None:
    from pplug.study import PARTS, run_people

    for part in chosen.parts:
        if part not in PARTS:
            raise InputError(f"no part of the study is called {part!r}: expected some of {', '.join(PARTS)}")
    run_people(chosen.parts, lambda line: print(line, flush=True))


def _write(path: Path, value) -> None:
    from pplug.base import write_text

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
    "people": _people,
}

if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # a path or user may hold what the terminal cannot show
    main()
