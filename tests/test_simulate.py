"""Simulated users: reproducible, heavy-tailed, split by time, true to their personas; their populations stay apart."""

import functools
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import date

import pytest
from personas import shown

from pplug.data.loading import load
from pplug.data.tasks import TASKS, build_input
from pplug.offline import standin_check
from pplug.offline.curriculum import LEARNT_SEED
from pplug.offline.simulate import (
    HISTORY_MAX,
    QUESTIONS,
    SLIPS,
    SPLITS,
    TRAIN_QUESTIONS,
    SimulatedUser,
    make_user,
    make_users,
    persona_sentence,
    simulate,
    write_lamp,
)
from pplug.offline.traits import TRAITS
from pplug.offline.world import TOPICS
from pplug.study import experiment

tasks = pytest.mark.parametrize("task", TASKS)
EXPERIMENTS = (200, 2024, "u")
PRETRAINING = (500, 101, "p")  # a third of them, to save time
HELD_OUT = (200, 7, "h")


@functools.cache
def population(task: str, n_users: int, seed: int, prefix: str) -> list[SimulatedUser]:
    return list(make_users(task, n_users, seed, prefix))


def n_before(user: SimulatedUser) -> int:
    """The number of items before the first question."""
    return len(user.texts) - len(QUESTIONS)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


# Reproducible


@tasks
def test_same_seed_same_files_byte_for_byte_and_another_seed_others(task, tmp_path):
    first, again, other = (contents(simulate(tmp_path / str(i), task, 5, seed)) for i, seed in enumerate((1, 1, 2)))
    assert first == again
    assert list(first) == sorted(other) and all(first[name] != other[name] for name in first)


def test_files_do_not_depend_on_the_process(tmp_path):
    code = "import sys; from pplug.offline.simulate import simulate; simulate(sys.argv[1], 'LaMP-1', 3, 0)"
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / hash_seed)], env=environment, check=True)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(simulate(tmp_path / "here", "LaMP-1", 3, 0))


@tasks
def test_a_user_depends_on_task_id_and_seed_alone(task):
    few, many = list(make_users(task, 2, 5)), list(make_users(task, 4, 5))
    assert few == many[:2] and make_user(task, "u0001", 5) == few[1]
    assert make_user(task, "u0001", 6) != few[1] != make_user(task, "v0001", 5)


def test_a_given_history_length_is_kept():
    assert [n_before(make_user("LaMP-4", "u", 0, n)) for n in (0, 1, 50)] == [0, 1, 50]


# Histories


@tasks
def test_history_lengths_have_a_heavy_tail(task):
    lengths = sorted(n_before(user) for user in population(task, *EXPERIMENTS))
    assert sum(length <= 3 for length in lengths) >= 10 and lengths[0] <= 1
    assert sum(length >= 100 for length in lengths) >= 2 and lengths[-1] <= HISTORY_MAX
    assert 10 <= lengths[100] <= 18


@pytest.fixture(scope="module", params=TASKS)
def written(request, tmp_path_factory):
    """A task and a folder of 30 users' files."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, simulate(folder, request.param, 30, 3)


def test_each_user_has_a_dev_a_test_and_some_train_questions(written):
    _, folder = written
    for split, n in (("train", TRAIN_QUESTIONS), ("dev", 1), ("test", 1)):
        users = Counter(question["user_id"] for question in read(folder, f"{split}_questions.json"))
        assert users == {f"u{i:04d}": n for i in range(30)}


def test_profiles_hold_only_what_came_before_the_question(written):
    _, folder = written
    previous: dict[str, tuple[date, list]] = {}
    for split in SPLITS:
        for question in read(folder, f"{split}_questions.json"):
            asked, days = date.fromisoformat(question["date"]), [item["date"] for item in question["profile"]]
            days = [date.fromisoformat(day) for day in days]
            assert days == sorted(set(days)) and (not days or days[-1] < asked)
            if question["user_id"] in previous:
                before, profile = previous[question["user_id"]]
                assert before < asked, "train, then dev, then test"
                assert question["profile"][:-1] == profile and question["profile"][-1]["date"] == str(before)
            previous[question["user_id"]] = (asked, question["profile"])


def test_files_say_what_the_users_wrote(written):
    task, folder = written
    users = {user.user_id: user for user in make_users(task, 30, 3)}
    for split in SPLITS:
        outputs = read(folder, f"{split}_outputs.json")
        assert outputs["task"] == task.replace("-", "_")
        golds = {gold["id"]: gold["output"] for gold in outputs["golds"]}
        questions = read(folder, f"{split}_questions.json")
        assert list(golds) == [question["id"] for question in questions] and len(golds) == len(questions)
        for question in questions:
            texts = users[question["user_id"]].texts
            text = texts[len(question["profile"])]
            assert question["input"] == build_input(TASKS[task], **text.slots)
            assert (question["topic"], golds[question["id"]]) == (text.topic, text.output)
            kept = [{field: item[field] for field in TASKS[task].fields} for item in question["profile"]]
            assert kept == [text.item for text in texts[: len(kept)]]


def test_ids_are_unique_over_all_splits_and_items(written):
    _, folder = written
    questions = [question for split in SPLITS for question in read(folder, f"{split}_questions.json")]
    ids = [question["id"] for question in questions]
    assert len(set(ids)) == len(ids)
    longest = {question["user_id"]: question["profile"] for question in questions}  # the test question's, it comes last
    items = [item["id"] for profile in longest.values() for item in profile]
    assert len(set(items)) == len(items)


def test_the_true_personas_lie_beside_the_files(written):
    task, folder = written
    factors = read(folder, "factors.json")
    assert (factors["simulated"], factors["task"], factors["seed"]) == (True, task, 3)
    assert factors["users"] == {
        user.user_id: {"values": user.values, "persona": persona_sentence(task, user.values)}
        for user in make_users(task, 30, 3)
    }


def test_the_loader_reads_them_whole(written):
    task, folder = written
    data = load(folder, task)
    assert [len(data.splits[split]) for split in SPLITS] == [180, 30, 30]
    assert set(data.factors) == set(data.splits["test"]["user_id"])
    users = {user.user_id: user for user in make_users(task, 30, 3)}
    for example in data.splits["test"]:
        items = [data.items[row] for row in example["profile"]]
        assert items == [text.item for text in users[example["user_id"]].texts[:-1]]


def test_an_empty_history_is_written_and_read(tmp_path):
    user = make_user("LaMP-3", "new", 0, history_length=0)
    data = load(write_lamp(tmp_path, "LaMP-3", [user], 0), "LaMP-3")
    assert [len(example["profile"]) for example in data.splits["train"]] == [0, 1, 2, 3, 4, 5]


# Personas


def values_shown(task: str, user: SimulatedUser) -> list[bool]:
    """For each text whether it fits the user's persona."""
    return [user.values[text.group] in shown(task, text) for text in user.texts]


@tasks
def test_questions_never_slip(task):
    for user in population(task, *EXPERIMENTS):
        assert all(values_shown(task, user)[n_before(user) :]), user.user_id


@tasks
def test_a_small_share_of_the_history_slips(task):
    told = [fits for user in population(task, *EXPERIMENTS) for fits in values_shown(task, user)[: n_before(user)]]
    k = len(TRAITS[task].values)
    expected = SLIPS * (k - 1) / k  # a slip may draw the user's own value
    assert 0.5 * expected < 1 - sum(told) / len(told) < 1.5 * expected, (len(told), expected)


@tasks
def test_a_text_belongs_to_the_group_of_its_topic(task):
    for user in population(task, *EXPERIMENTS):
        assert set(user.values) == set(TRAITS[task].groups)
        assert all(TOPICS[task][text.topic] == text.group for text in user.texts)


@tasks
def test_half_of_the_users_have_two_values_and_all_values_occur(task):
    users = population(task, *EXPERIMENTS)
    share = sum(len(set(user.values.values())) == 2 for user in users) / len(users)
    assert 0.4 < share < 0.6
    for group in TRAITS[task].groups:
        counts = Counter(user.values[group] for user in users)
        assert set(counts) == set(TRAITS[task].values) and min(counts.values()) > 0.6 * len(users) / len(counts)


@tasks
def test_users_have_interests_of_their_own(task):
    """The share of a user's favourite topic is well above what evenly drawn topics would give."""
    users = [user for user in population(task, *EXPERIMENTS) if len(user.texts) >= 40]
    favourite = [Counter(text.topic for text in user.texts).most_common(1)[0][1] / len(user.texts) for user in users]
    assert sum(favourite) / len(favourite) > 1.5 / len(TOPICS[task])


# Populations


def test_the_three_populations_are_the_ones_in_use():
    assert EXPERIMENTS[1] == experiment.SIMULATED_SEED
    assert PRETRAINING[1] == LEARNT_SEED
    assert HELD_OUT[1:] == (standin_check.HELD_OUT_SEED, standin_check.HELD_OUT_PREFIX)


@tasks
def test_no_user_is_in_two_populations(task):
    ids, histories = Counter(), Counter()
    for chosen in (EXPERIMENTS, HELD_OUT, PRETRAINING):
        users = population(task, *chosen)
        assert len({user.user_id for user in users}) == chosen[0]
        ids.update(user.user_id for user in users)
        histories.update(tuple((*text.slots.values(), text.output) for text in user.texts) for user in users)
    assert max(ids.values()) == 1 and max(histories.values()) == 1


@tasks
def test_few_questions_of_the_experiments_were_met_in_pretraining(task):
    """Users are disjoint; now and then two of them still write the same words about the same thing."""
    known = {tuple(text.slots.values()) for user in make_users(task, 1500, *PRETRAINING[1:]) for text in user.texts}
    asked = [tuple(user.texts[-1].slots.values()) for user in population(task, *EXPERIMENTS)]
    assert sum(slots in known for slots in asked) / len(asked) < 0.35


@tasks
def test_few_questions_repeat_an_item_of_their_own_history(task):
    users = population(task, *EXPERIMENTS)
    repeated = sum(any(text.item == user.texts[-1].item for text in user.texts[:-1]) for user in users)
    assert repeated / len(users) < 0.05
