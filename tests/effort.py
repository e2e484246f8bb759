"""How many cases the tests of trust draw: some in `make test`, many in `make trust`, which sets `PPLUG_NIGHTLY`."""

import os

NIGHTLY = bool(os.environ.get("PPLUG_NIGHTLY"))


def cases(usual: int, nightly: int) -> int:
    """The number of cases, kills or simulations to run."""
    return nightly if NIGHTLY else usual
