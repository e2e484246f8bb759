"""The project's own errors. `python -m pplug` shows their message alone; any other error is a fault of the program."""


class InputError(ValueError):
    """What was given cannot be used. The message says what was wrong, where, and what would be right."""


class DataError(InputError):
    """A file is not what its format promises. The message names file, line or example, and what was expected."""
