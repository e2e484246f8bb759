"""From a table of texts, or a git repository, to LaMP files that the one loader accepts."""

import json
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pplug.base.errors import DataError
from pplug.data.loading import load
from pplug.sources.own_users import FEWEST_TEXTS, DatedText, read_git, read_table, write_users

ROWS = [
    {"user": "ann", "time": "2024-05-31", "input": 'long, "quoted"\ntext', "output": "ä title"},
    {"user": "bob", "time": 1717000000, "input": "other", "output": 5},
]


def texts(user: str, n: int) -> list[DatedText]:
    return [DatedText(user, f"2024-01-{day:02d}", f"article {day}", f"title {day}") for day in range(1, n + 1)]


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
        DatedText("ann", "2024-05-31", 'long, "quoted"\ntext', "ä title"),
        DatedText("bob", "1717000000", "other", "5"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("t.csv", "user,time,input\na,1,b\n", "line 1: expected a header with .*'output' is missing"),
        ("t.csv", "", "line 1: expected a header"),
        ("t.csv", "user,time,input,output\na,1,b\n", "line 2: expected a value in the column 'output'"),
        ("t.csv", "user,time,input,output\na,1, ,c\n", "line 2: expected a value in the column 'input'"),
        ("t.csv", "user,time,input,output\na,soon,b,c\n", "line 2: expected a date in ISO 8601, .* found 'soon'"),
        ("t.csv", "user,time,input,output\na,1,b,c\nb,2,c,d,e\n", "line 3: expected 4 columns .* found 5: put texts"),
        ("t.csv", "user,time,input,output,x\na,1,b,c\nb,2,c,d,e,f,g\n", "line 3: expected 5 columns .* found 7"),
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


@pytest.mark.fault(32)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "time", ["31.01.2024", "31/01/2024", "01:00 PM", "2024-01-31 01:00 PM", "31.01", "Jan 31, 2024"]
)
def test_a_time_that_has_no_sure_place_is_refused_with_its_line(tmp_path, form, time):
    rows = [
        dict(zip(("user", "time", "input", "output"), ("a", t, "b", "c"), strict=True)) for t in ("2024-01-01", time)
    ]
    path = tmp_path / f"t.{form}"
    write_csv(path, rows) if form == "csv" else path.write_text("\n".join(map(json.dumps, rows)))
    line = 3 if form == "csv" else 2
    with pytest.raises(DataError, match=rf"t.{form}: line {line}: expected a date in ISO 8601.* found '{time}'"):
        read_table(path)


@pytest.mark.fault(32)
def test_a_row_that_is_longer_than_the_header_is_refused_with_its_line(tmp_path):
    """A comma in a text without quotes: what stands behind it was dropped in silence."""
    (tmp_path / "t.csv").write_text("user,time,input,output\na,1,b,c\na,2,well, no,yes\n")
    with pytest.raises(DataError, match=r"t.csv: line 3: expected 4 columns as in the header, found 5"):
        read_table(tmp_path / "t.csv")


@pytest.mark.fault(32)
def test_a_users_texts_are_sorted_by_time_whatever_form_it_has(tmp_path):
    times = [
        "2024-01-02T00:00+05:00",
        "2024-01-01T20:00Z",
        "1704153600",
        "2024-01-02T10:00",
        "1704200000000",
        "2024-01-03",
    ]
    shuffled = [DatedText("ann", time, f"a {i}", f"t {i}") for i, time in enumerate(times)][::-1]
    write_users(tmp_path, "LaMP-4", shuffled)
    data = load(tmp_path, "LaMP-4", tmp_path / "cache")
    assert [data.items[row]["title"] for row in data.splits["test"][0]["profile"]] == [
        "t 0",
        "t 1",
        "t 2",
        "t 3",
        "t 4",
    ]


def test_the_last_three_texts_are_the_questions_and_nothing_leaks_from_the_future(tmp_path):
    shuffled = sorted(texts("ann", 9) + texts("bob", FEWEST_TEXTS), key=lambda text: text.input[::-1])
    told = write_users(tmp_path, "LaMP-4", shuffled + texts("cy", FEWEST_TEXTS - 1))
    assert told == {"users": 2, "left_out": 1, "texts": 9 + FEWEST_TEXTS}
    data = load(tmp_path, "LaMP-4")
    for split, day in (("train", 7), ("dev", 8), ("test", 9)):
        example = next(e for e in data.splits[split] if e["user_id"] == "ann")
        assert example["input"].endswith(f": article {day}") and example["output"] == f"title {day}"
        assert [data.items[row]["title"] for row in example["profile"]] == [f"title {d}" for d in range(1, day)]
    assert [len(e["profile"]) for e in data.splits["test"]] == [8, FEWEST_TEXTS - 1]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3000), st.text(min_size=1).filter(str.strip))))
def test_any_texts_are_written_or_refused(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    given_texts = [DatedText(user, str(time), body.strip(), body.strip()[:5]) for user, time, body in rows]
    most = max((sum(row[0] == user for row in rows) for user in "abc"), default=0)
    if most < FEWEST_TEXTS:
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
    assert found[0] == DatedText("Bob", "2024-01-10T00:00:00+00:00", "A body", "With")
    assert found[-1] == DatedText("Ann Ä", "2024-01-01T00:00:00+00:00", "Because of 1. ask or", "Do 1")
    assert len(found) == 9 and not any("@" in str(text) or "Signed" in str(text) for text in found)
    told = write_users(tmp_path / "out", "LaMP-4", found)
    assert told == {"users": 1, "left_out": 1, "texts": 8}
    assert load(tmp_path / "out", "LaMP-4").splits["test"][0]["output"] == "Do 8"


def test_what_is_no_repository_is_told(tmp_path):
    with pytest.raises(DataError, match="expected a git repository with commits"):
        read_git(tmp_path / "nothing")


def commit(folder, author: bytes, message: bytes = b"Subject\n\nA body", date: bytes = b" 1700000000 +0000") -> None:
    """Add a commit as it stands in the repository: git's own commands would not write these."""
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments, given: bytes = b"") -> bytes:
        return subprocess.run(
            ["git", "-C", folder, *arguments], input=given, capture_output=True, env=quiet
        ).stdout.strip()

    tree = git("hash-object", "-t", "tree", "-w", "--stdin")
    before = git("rev-parse", "-q", "--verify", "HEAD")
    parent = b"parent " + before + b"\n" if before else b""
    person = author + date
    content = b"tree %s\n%sauthor %s\ncommitter %s\n\n%s\n" % (tree, parent, person, person, message)
    made = git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", given=content)
    git("update-ref", "HEAD", made.decode())


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", folder], check=True)
    return folder


@pytest.mark.fault(32)
@pytest.mark.parametrize("date", [b"", b" soon +0000", b" 99999999999999999999 +0000"])
def test_a_commit_without_a_date_is_left_out_and_counted(empty, caplog, date):
    commit(empty, b"Ann <a@x.org>")
    commit(empty, b"Bob <b@x.org>", date=date)
    commit(empty, b"Ann <a@x.org>", date=b" 1700000001 +0000")
    assert [text.user for text in read_git(empty)] == ["Ann", "Ann"]
    assert f"{empty}: 1 commits without a date are left out" in caplog.text


@pytest.mark.fault(32)
def test_names_that_are_not_utf_8_stay_two(empty):
    for name in ("José", "Josè"):
        commit(empty, name.encode("latin-1") + b" <j@x.org>", "Sujet é\n\nà b".encode("latin-1"))
    commit(empty, "José <j@x.org>".encode())
    found = read_git(empty)
    assert [text.user for text in found] == ["José", "Josè", "José"] and found[1].output == "Sujet é"


@pytest.mark.fault(32)
@pytest.mark.parametrize("name", ["bob@host", "bob@host.example.org"])
def test_an_author_who_is_an_address_is_shortened_and_stays_one_of_his_own(empty, name):
    commit(empty, f"{name} <b@x.org>".encode(), b"Ask\n\nbob@host or <bob@host.org>")
    commit(empty, b"bob@elsewhere <b@x.org>")
    found = read_git(empty)
    assert len({text.user for text in found}) == 2 and all(text.user.startswith("bob ") for text in found)
    assert not any("@" in str(text) for text in found) and found[1].input == "or"
    assert found == read_git(empty)
