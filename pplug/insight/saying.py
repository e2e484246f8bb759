"""What a value says, as a plain sentence that is true whatever it is: under figures, and as a lesson's answer."""

from textwrap import shorten

from pplug.data import Interval, Task


def gained(one: str, other: str, gain: Interval, of: str) -> str:
    """Whether one thing is better than another, and by how much.

    Args:
        one: Its name, as it begins a sentence.
        other: The other's name.
        gain: How much better the first is, with its interval; negative is worse.
        of: What is gained, such as `"MAE"` or `"nats per token"`.

    Returns:
        A sentence with the mean and its 95 % interval; it claims nothing where the interval includes zero.
    """
    shown = within(gain)
    if not gain.excludes_zero:
        return f"{one} is not shown to differ from {other}: {shown} {of}, and the interval includes zero."
    better = "better" if gain.mean > 0 else "worse"
    return f"{one} is {better} than {other} by {within(gain, absolute=True)} {of}."


def within(i: Interval, digits: int = 3, absolute: bool = False) -> str:
    """A mean with its 95 % interval, such as `0.070 [0.050, 0.090]`; on request without the sign of the mean."""
    values = (i.mean, i.low, i.high)
    if absolute and i.mean < 0:
        values = (-i.mean, -i.high, -i.low)
    mean, low, high = (f"{value + 0.0:.{digits}f}" for value in values)
    return f"{mean} [{low}, {high}]"


def item_told(task: Task, item: dict, letters: int = 120) -> str:
    """A history item on one line, its fields one after the other, cut where it is too long."""
    return shorten(" → ".join(item[field] for field in task.fields), letters, placeholder=" …")
