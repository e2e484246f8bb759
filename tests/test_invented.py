"""The invented people: two dozen replies each, in manners that can be counted apart."""

import numpy as np

from pplug.data.style import HABITS, style
from pplug.sources.chat import CHAT
from pplug.sources.invented import MESSAGES, REPLIES, invented_people


def test_each_has_a_history_that_the_task_takes():
    for items in invented_people().values():
        assert len(items) == len(MESSAGES) == 24
        assert all(set(item) == set(CHAT.fields) for item in items)
        assert len({item["reply"] for item in items}) == 24


def test_their_manners_differ_in_what_is_counted():
    habits = {name: style(list(replies)).mean(axis=0) for name, replies in REPLIES.items()}

    def most(habit: str) -> str:
        return max(habits, key=lambda name: habits[name][HABITS.index(habit)])

    assert most("laughs") == "Nell" and most("words") == "Mr. Whitlock"
    assert most("exclamation marks") == most("emoji or smiley") == "Dee" and most("question marks") == "Oskar"
    assert habits["Nell"][HABITS.index("ends with a mark")] == 0
    together = np.array(list(habits.values()))
    assert np.unique(together.round(3), axis=0).shape[0] == 4
