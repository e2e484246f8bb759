"""What a spawned worker is given to do in tests/test_faults.py; a module of its own, since the worker imports it."""

import os
import time
from pathlib import Path


def wait(group, task, profile, seed) -> None:
    """Say that this worker is at work, then never end."""
    (Path(profile.llm) / f"{os.getpid()}.working").touch()
    time.sleep(600)
