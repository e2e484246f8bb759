"""The parts of the study of real people: each writes its records, and what was trained is not trained again."""

import json

import pytest

from pplug.__main__ import main
from pplug.study import people, people_adapters, people_parts, people_variants, records
from pplug.study.people import CHOICES, SHUFFLED
from pplug.study.people_parts import PARTS


@pytest.fixture
def written(chatting, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setattr(people_parts, "_people", lambda: chatting)
    monkeypatch.setattr(people_variants, "PROFILE", people.PROFILE)
    for name, value in (("TESTED", 2), ("TRIED_ON", 1), ("LEAST", 2), ("RATES", (1e-2,))):
        monkeypatch.setattr(people_adapters, name, value)
    return lambda: sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json"))


def test_each_part_writes_its_records(written, tmp_path):
    lines = []
    people_parts.run_people(["seed-0", "seed-1", "words", "adapters", "poolings"], lines.append)
    first = [f"{group}/test-s0.json" for group in ("people-adapters", "people-cache", "people-replies", "people-words")]
    assert written() == sorted([*first, "people/test-s0.json", "people/test-s1.json", "people-variants/poolings.json"])
    one, other = (json.loads((tmp_path / "people" / f"test-s{seed}.json").read_text()) for seed in (0, 1))
    assert SHUFFLED in one["nats"] and SHUFFLED not in other["nats"]
    assert other["seed"] == 1 and other["choices"] == CHOICES and other["curves"]["dev"]
    assert sum(line.endswith(": done") for line in lines) == 5


def test_an_unknown_part_is_named_before_anything_runs(written):
    with pytest.raises(SystemExit, match="'seed-9': expected some of seed-0"):
        main(["people", "seed-0", "seed-9"])
    assert not written()


def test_all_parts_together_are_the_study():
    assert [*PARTS][:3] == ["seed-0", "seed-1", "seed-2"] and {"LaMP-1", "LaMP-7", "chat-who", "encoders"} < set(PARTS)
