"""Dates: ISO 8601 or seconds, in the order of time; what could be read in two ways is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pplug.base.dates import time_order, timestamp
from pplug.base.errors import DataError

MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1))


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("2024-05-31", datetime(2024, 5, 31)),
        (" 2024-05-31 ", datetime(2024, 5, 31)),
        ("2024-5-3", datetime(2024, 5, 3)),
        ("2024-05", datetime(2024, 5, 1)),
        ("2024", datetime(2024, 1, 1)),
        ("20240531", datetime(2024, 5, 31)),
        ("2024-05-31T10:00", datetime(2024, 5, 31, 10)),
        ("2024-05-31 10:00:30.5", datetime(2024, 5, 31, 10, 0, 30, 500_000)),
        ("2024-05-31T10:00Z", datetime(2024, 5, 31, 10)),
        ("2024-05-31T10:00+02:00", datetime(2024, 5, 31, 8)),
        ("1717149600", datetime(2024, 5, 31, 10)),
        ("1717149600.5", datetime(2024, 5, 31, 10, 0, 0, 500_000)),
        ("1717149600500", datetime(2024, 5, 31, 10, 0, 0, 500_000)),
    ],
)
def test_what_is_read(date, moment):
    assert timestamp(date) == moment.replace(tzinfo=UTC).timestamp()


REFUSED = ["31/05/2024", "31.01.2024", "05-31-2024", "2024/05/31", "01:00 PM", "2024-05-31 01:00 PM", "May 31, 2024"]
REFUSED += [
    "31.05",
    "31-05-24",
    "31052024",
    "05312024",
    "2024-13-01",
    "2024-02-30",
    "-5",
    "1e9",
    "1.7e9",
    "soon",
    "10:00",
]
REFUSED += ["9" * 40, "31052024101500", "２０２４-05-31", "2024-05-31-1"]


@pytest.mark.parametrize("date", REFUSED)
def test_what_is_refused(date):
    for dates in ([date], ["", date], ["2024-05-31", date], ["5", date]):
        with pytest.raises(DataError, match="expected a date in ISO 8601"):
            time_order(dates)


@given(st.lists(MOMENTS), st.sampled_from([str, datetime.isoformat, "day", "seconds", "milliseconds", "zone"]))
def test_the_order_is_that_of_time_in_every_form(moments, form):
    def written(moment: datetime) -> str:
        if form == "zone":
            return (moment + timedelta(hours=5)).isoformat() + "+05:00"
        if form in ("seconds", "milliseconds"):
            return str(int(moment.replace(tzinfo=UTC).timestamp()) * (1 if form == "seconds" else 1000))
        return str(moment.date()) if form == "day" else form(moment)

    exact = {"day": lambda m: m.date(), "seconds": lambda m: m.replace(microsecond=0)}
    exact["milliseconds"] = exact["seconds"]
    keys = [exact.get(form, lambda m: m)(moment) for moment in moments]
    assert time_order([written(moment) for moment in moments]) == sorted(range(len(keys)), key=keys.__getitem__)


@given(st.lists(st.integers(0, 3000)))
def test_counters_and_years_are_compared_as_numbers(numbers):
    assert time_order([str(number) for number in numbers]) == sorted(range(len(numbers)), key=numbers.__getitem__)


def test_forms_may_be_mixed_and_what_has_no_date_comes_first():
    dates = ["2024-05-31", "", "1500000000", "2011", "2011-06", "1600000000000", ""]
    assert time_order(dates) == [1, 6, 3, 4, 2, 5, 0]
    assert time_order([]) == []
