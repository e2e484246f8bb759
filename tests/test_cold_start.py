"""The cold start cuts the same users' histories, the newest items last to go."""

from dataclasses import replace

import pytest

from pplug.config import get_profile
from pplug.offline.simulate import simulate
from pplug.study import cold_start
from pplug.study.cold_start import newest, setting
from pplug.study.setting import Setting

PROFILE = replace(get_profile("smoke"), n_users=8, n_test=8)


def test_the_newest_items_stay():
    examples = [{"profile": [1, 2, 3]}, {"profile": []}]
    assert [e["profile"] for e in newest(examples, 2)] == [[2, 3], []]
    assert [e["profile"] for e in newest(examples, 0)] == [[], []]


def test_simulated_users_are_new_and_have_every_length(monkeypatch):
    monkeypatch.setattr(cold_start, "USERS", 3)
    s = Setting("LaMP-3", PROFILE, 0)
    whole, lengths = setting(s)
    assert lengths == cold_start.LENGTHS and {len(e["profile"]) for e in whole.examples} == {max(lengths)}
    assert len(whole.examples) == 3 and not {e["user_id"] for e in whole.examples} & {e["user_id"] for e in s.examples}


def test_real_users_are_those_with_enough_items(tmp_path, monkeypatch):
    folder = simulate(tmp_path / "LaMP_3", "LaMP-3", 8, seed=5)
    (folder / "factors.json").unlink()
    s = Setting("LaMP-3", replace(PROFILE, data=str(tmp_path)), 0)
    monkeypatch.setattr(cold_start, "FEWEST", 4)
    whole, lengths = setting(s)
    longest = max(lengths)
    enough = [e for e in s.examples if len(e["profile"]) >= longest]
    assert len(whole.examples) == len(enough) >= 4 and longest in cold_start.LENGTHS
    for before, after in zip(enough, whole.examples, strict=True):
        assert after["profile"] == before["profile"][-longest:] and after["input"] == before["input"]
    longer = [n for n in cold_start.LENGTHS if n > longest]
    assert not longer or sum(len(e["profile"]) >= min(longer) for e in s.examples) < 4


@pytest.mark.parametrize("fewest", [9])
def test_too_few_real_users_give_what_all_of_them_have(tmp_path, monkeypatch, fewest):
    folder = simulate(tmp_path / "LaMP_3", "LaMP-3", 4, seed=5)
    (folder / "factors.json").unlink()
    s = Setting("LaMP-3", replace(PROFILE, data=str(tmp_path)), 0)
    monkeypatch.setattr(cold_start, "FEWEST", fewest)
    whole, lengths = setting(s)
    assert len(whole.examples) == 4 and max(lengths) <= min(len(e["profile"]) for e in s.examples)
