"""Dates as anyone may have written them → their order in time. What has no sure place in time is refused."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from pplug.base.errors import DataError
from pplug.base.reading import shown

NUMBER = re.compile(r"[0-9]{1,13}|[0-9]{9,13}\.[0-9]{1,9}")  # 31.05 is no number of seconds
UNPADDED = re.compile(r"([0-9]{4})-([0-9]{1,2})(?:-([0-9]{1,2}))?(?![0-9-])")
MILLISECONDS = 1e11  # from here on a number counts milliseconds: as seconds it would be the year 5138


def time_order(dates: Sequence[str]) -> list[int]:
    """Sort by time.

    Numbers among numbers are compared as such, so that years and counters need no guessing; among other dates a number
    of four digits is a year. One of eight digits is always a day, as in 20240531. A time without zone counts as UTC.

    Args:
        dates: As `timestamp` takes them; empty where there is none.

    Returns:
        Positions in `dates`, oldest first; those without a date come first, and equal ones keep their order.

    Raises:
        DataError: One is neither ISO 8601 nor a number of seconds or milliseconds.
    """
    dates = [date.strip() for date in dates]
    key = _number if all(NUMBER.fullmatch(date) and len(date) != 8 for date in dates if date) else timestamp
    keys = [key(date) if date else -math.inf for date in dates]
    return sorted(range(len(dates)), key=keys.__getitem__)


def timestamp(date: str) -> float:
    """A date as seconds since 1970.

    Args:
        date: ISO 8601 (`2024-05-31`, `2024-05-31T10:00:00+02:00`, a year or month alone, also `2024-5-31`), or seconds
            or milliseconds since 1970.

    Raises:
        DataError: It is none of these, such as `31/05/2024`: nothing says which number is the month.
    """
    date = date.strip()
    if NUMBER.fullmatch(date) and len(date) not in (4, 8):
        return _number(date)
    try:
        moment = datetime.fromisoformat(_padded(date))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise _refused(date) from error


def _number(text: str) -> float:
    value = float(text)
    return value / 1000 if value >= MILLISECONDS else value


def _padded(date: str) -> str:
    """What `datetime.fromisoformat` does not read: a year or a month alone, and numbers of one digit."""
    match = UNPADDED.match(date)
    if match is None:
        return f"{date}-01-01" if len(date) == 4 else date
    year, month, day = match.groups()
    return f"{year}-{month:0>2}-{day or '1':0>2}{date[match.end() :]}"


def _refused(date: str) -> DataError:
    return DataError(
        "expected a date in ISO 8601, such as 2024-05-31 or 2024-05-31T10:00, or seconds since 1970, "
        f"found {shown(date)!r}"
    )
