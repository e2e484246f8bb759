"""From a table of texts, or a git repository, to LaMP files that the one loader accepts."""

import json
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pplug.base.errors import DataError
from pplug.data.loading import load
from pplug.sources.own_users import LEAST, Text, read_git, read_table, write_users

ROWS = [
    {"user": "ann", "time": "2024-05-31", "input": 'long, "quoted"\ntext', "output": "ä title"},
    {"user": "bob", "time": 1717000000, "input": "other", "output": 5},
]


def texts(user: str, n: int) -> list[Text]:
    return [Text(user, f"2024-01-{day:02d}", f"article {day}", f"title {day}") for day in range(1, n + 1)]


def write_csv(path, rows, start: str = "") -> None:
    import csv
    import io

    out = io.StringIO()
    writer = csv.DictWriter(out, ["more", "user", "time", "input", "output"], restval="x")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(start + out.getvalue(), encoding="utf-8", newline="")


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_both_forms_are_read_alike(tmp_path, form, mark):
    path = tmp_path / f"t.{form}"
    if form == "csv":
        write_csv(path, ROWS, mark)
    else:
        path.write_text(mark + "\n\n".join(map(json.dumps, ROWS)))
    assert read_table(path) == [
        Text("ann", "2024-05-31", 'long, "quoted"\ntext', "ä title"),
        Text("bob", "1717000000", "other", "5"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("t.csv", "user,time,input\na,1,b\n", "line 1: expected a header with .*'output' is missing"),
        ("t.csv", "", "line 1: expected a header"),
        ("t.csv", "user,time,input,output\na,1,b\n", "line 2: expected a value in the column 'output'"),
        ("t.csv", "user,time,input,output\na,1, ,c\n", "line 2: expected a value in the column 'input'"),
        ("t.csv", "user,time,input,output\na,soon,b,c\n", "line 2: expected a date or a number as time, found 'soon'"),
        ("t.jsonl", '{"user": 1}\n', "line 1: expected a value in the column 'time'"),
        ("t.jsonl", '\n{"user": \n', "line 2: expected a JSON object"),
        ("t.jsonl", "[1]\n", "line 1: expected a JSON object, found"),
        ("t.jsonl", '{"user": "a", "time": 1, "input": ["x"], "output": "y"}\n', "line 1: .* column 'input'"),
        ("t.xlsx", "", "expected a .csv or .jsonl file"),
    ],
)
def test_a_wrong_table_is_told_by_its_line(tmp_path, name, content, what):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=what) as caught:
        read_table(tmp_path / name)
    assert name in str(caught.value)


def test_the_last_three_texts_are_the_questions_and_nothing_leaks_from_the_future(tmp_path):
    shuffled = sorted(texts("ann", 9) + texts("bob", LEAST), key=lambda text: text.input[::-1])
    told = write_users(tmp_path, "LaMP-4", shuffled + texts("cy", LEAST - 1))
    assert told == {"users": 2, "left_out": 1, "texts": 9 + LEAST}
    data = load(tmp_path, "LaMP-4")
    for split, day in (("train", 7), ("dev", 8), ("test", 9)):
        example = next(e for e in data.splits[split] if e["user_id"] == "ann")
        assert example["input"].endswith(f": article {day}") and example["output"] == f"title {day}"
        assert [data.items[row]["title"] for row in example["profile"]] == [f"title {d}" for d in range(1, day)]
    assert [len(e["profile"]) for e in data.splits["test"]] == [8, LEAST - 1]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3000), st.text(min_size=1).filter(str.strip))))
def test_any_texts_are_written_or_refused(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    given_texts = [Text(user, str(time), body.strip(), body.strip()[:5]) for user, time, body in rows]
    most = max((sum(row[0] == user for row in rows) for user in "abc"), default=0)
    if most < LEAST:
        with pytest.raises(DataError, match=f"the largest has {most}"):
            write_users(folder, "LaMP-5", given_texts)
        return
    told = write_users(folder, "LaMP-5", given_texts)
    data = load(folder, "LaMP-5", cache=folder)
    assert [len(split) for split in data.splits.values()] == [told["users"]] * 3
    assert sum(len(example["profile"]) + 1 for example in data.splits["test"]) == told["texts"]


def test_outputs_must_be_labels_and_the_task_must_have_outputs(tmp_path):
    with pytest.raises(DataError, match="ann, 2024-01-01: expected one of 1, 2, 3, 4, 5 as output, found 'title 1'"):
        write_users(tmp_path, "LaMP-3", texts("ann", 9))
    with pytest.raises(ValueError, match=r"LaMP-7: .* expected one of LaMP-2, LaMP-3, LaMP-4, LaMP-5"):
        write_users(tmp_path, "LaMP-7", texts("ann", 9))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    people = {"Ann Ä": "ann@example.org", "Bob": "bob@example.org"}
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments, who="Ann Ä", day=1):
        identity = {"NAME": who, "EMAIL": people[who], "DATE": f"2024-01-{day:02d}T00:00:00+00:00"}
        known = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in identity.items()}
        subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, env=quiet | known)

    folder.mkdir()
    git("init", "-q")
    for day in range(1, 9):
        body = f"Because of {day}.\n\nask ann@example.org or <bob@example.org>\n\nSigned-off-by: Bob <bob@example.org>"
        git("commit", "-q", "--allow-empty", "-m", f"Do {day}", "-m", body, day=day)
    git("commit", "-q", "--allow-empty", "-m", "No body", who="Bob", day=9)
    git("commit", "-q", "--allow-empty", "-m", "With", "-m", "A body", who="Bob", day=10)
    return folder


def test_a_repositorys_authors_become_users_without_their_addresses(repository, tmp_path):
    found = read_git(repository)
    assert found[0] == Text("Bob", "2024-01-10T00:00:00+00:00", "A body", "With")
    assert found[-1] == Text("Ann Ä", "2024-01-01T00:00:00+00:00", "Because of 1. ask or", "Do 1")
    assert len(found) == 9 and not any("@" in str(text) or "Signed" in str(text) for text in found)
    told = write_users(tmp_path / "out", "LaMP-4", found)
    assert told == {"users": 1, "left_out": 1, "texts": 8}
    assert load(tmp_path / "out", "LaMP-4").splits["test"][0]["output"] == "Do 8"


def test_what_is_no_repository_is_told(tmp_path):
    with pytest.raises(DataError, match="expected a git repository with commits"):
        read_git(tmp_path / "nothing")
