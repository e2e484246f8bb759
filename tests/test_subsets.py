"""A seeded subset of users."""

import pytest

from pplug.data.loading import load
from pplug.data.subsets import subset
from pplug.offline.simulate import simulate


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load(simulate(tmp_path_factory.mktemp("users") / "LaMP_4", "LaMP-4", 9, 0), "LaMP-4")


def test_the_same_users_are_kept_in_every_split_with_their_own_items(data):
    small = subset(data, 4)
    users = [set(split["user_id"]) for split in small.splits.values()]
    assert len(users[0]) == 4 and users[0] == users[1] == users[2] < set(data.splits["test"]["user_id"])
    for name, split in small.splits.items():
        whole = {example["id"]: example for example in data.splits[name]}
        for example in split:
            was = whole[example["id"]]
            assert [small.items[row] for row in example["profile"]] == [data.items[row] for row in was["profile"]]
            assert {key: example[key] for key in ("input", "output", "user_id")} == {
                key: was[key] for key in ("input", "output", "user_id")
            }
    used = {row for split in small.splits.values() for example in split for row in example["profile"]}
    assert used == set(range(len(small.items))), "no item is left that nobody has"


def test_who_is_drawn_does_not_depend_on_who_else_is_there(data):
    assert set(subset(data, 3).splits["dev"]["user_id"]) < set(subset(data, 5).splits["dev"]["user_id"])
    other = {tuple(sorted(set(subset(data, 4, seed).splits["dev"]["user_id"]))) for seed in range(6)}
    assert len(other) > 1


def test_another_subset_has_another_hash_and_the_whole_is_left_alone(data):
    assert len({subset(data, n).hash for n in (3, 4, 9)} | {subset(data, 3, 1).hash}) == 4
    assert subset(data, None) is subset(data, 9) is subset(data, 100) is data
