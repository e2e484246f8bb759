"""Fetching LaMP's own files (CC BY-NC-SA 4.0), checked to be JSON before they take their name."""

from pathlib import Path
from urllib.request import urlopen

from pplug.data import SPLITS, DataError, read_json
from pplug.files import replacing
from pplug.tasks import get_task

SITE = "https://ciir.cs.umass.edu/downloads/LaMP"


def address(task: str, split: str, kind: str, time_based: bool = True) -> str:
    """Where one file of LaMP sits; LaMP-2's movie tagging is under `new/`, its plain folder is the old news task.

    Args:
        task: The task's name.
        split: `train`, `dev` or `test`.
        kind: `questions` or `outputs`.
        time_based: The time-based split, the paper's; otherwise the user-based one.
    """
    name = get_task(task).name.replace("-", "_")
    middle = "/new" if name == "LaMP_2" else ""
    return f"{SITE}/{'time/' if time_based else ''}{name}{middle}/{split}/{split}_{kind}.json"


def download(folder: str | Path, task: str, time_based: bool = True, open_address=urlopen) -> Path:
    """Download a task's files; the test outputs are withheld by the organisers and not asked for.

    Args:
        folder: Where to; files that are already there are kept.
        task: The task's name.
        time_based: See `address`.
        open_address: Opens an address for reading bytes; replaced in tests.

    Returns:
        The folder.

    Raises:
        DataError: If a file is not JSON: a wrong address answers with a small HTML page.
    """
    folder = Path(folder)
    for split in SPLITS:
        for kind in ("questions", "outputs"):
            path = folder / f"{split}_{kind}.json"
            if path.exists() or (split, kind) == ("test", "outputs"):
                continue
            source = address(task, split, kind, time_based)
            with replacing(path) as temporary:
                with open_address(source) as answer, temporary.open("wb") as file:
                    while block := answer.read(1 << 20):
                        file.write(block)
                try:
                    read_json(temporary)
                except DataError as error:
                    raise DataError(f"{source}: {str(error).removeprefix(f'{temporary}: ')}") from error
    return folder
