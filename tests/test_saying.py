"""Sentences say what the interval says, and no more."""

from hypothesis import given
from hypothesis import strategies as st

from pplug.data import Interval, Task
from pplug.insight.saying import gained, item_told, within

NUMBERS = st.floats(-1, 1)


@given(st.lists(NUMBERS, min_size=3, max_size=3))
def test_a_claim_is_made_only_where_zero_is_excluded(values):
    low, mean, high = sorted(values)
    sentence = gained("Attention", "the mean", Interval(mean, low, high), "MAE")
    assert ("includes zero" in sentence) == (low <= 0 <= high)
    assert ("is better" in sentence) == (low > 0) and ("is worse" in sentence) == (high < 0)


def test_better_and_worse_give_the_size_without_a_sign():
    assert gained("A", "B", Interval(-0.2, -0.3, -0.1), "MAE") == "A is worse than B by 0.200 [0.100, 0.300] MAE."
    assert gained("A", "B", Interval(0.2, 0.1, 0.3), "MAE") == "A is better than B by 0.200 [0.100, 0.300] MAE."
    said = gained("A", "B", Interval(0.003, -0.01, 0.016), "MAE")
    assert said == "A is not shown to differ from B: 0.003 [-0.010, 0.016] MAE, and the interval includes zero."
    assert within(Interval(0.5, 0.25, 0.75), 1) == "0.5 [0.2, 0.8]"


def test_an_item_stands_on_one_line():
    task = Task(name="replies", template="Reply to: {message}", fields=("message", "reply"))
    assert item_told(task, {"message": "a\nb", "reply": "c"}) == "a b → c"
    assert len(item_told(task, {"message": "a " * 99, "reply": "c"}, 40)) <= 40
