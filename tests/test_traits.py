"""Traits: what differs between simulated users, and the sentence that says it."""

from itertools import product

import pytest

from pplug.data.tasks import TASKS
from pplug.offline.traits import TRAITS

tasks = pytest.mark.parametrize("task", TASKS)


@tasks
def test_each_persona_has_a_sentence_of_its_own(task):
    trait = TRAITS[task]
    pairs = list(product(trait.values, repeat=2))
    sentences = {pair: trait.sentence(dict(zip(trait.groups, pair, strict=True))) for pair in pairs}
    assert len(set(sentences.values())) == len(pairs)
    for (first, second), sentence in sentences.items():
        named = [trait.values[first]] if first == second else [trait.values[first], trait.values[second]]
        form = trait.same if first == second else trait.two
        assert sentence == form.format(*named) and sentence.startswith("This ") and "{" not in sentence


def test_a_sentence_by_hand():
    sentence = TRAITS["LaMP-3"].sentence
    assert sentence({"devices": "harsh", "media": "fair"}) == "This reviewer is harsh with devices and fair with media."
    assert sentence({"devices": "fair", "media": "fair"}) == "This reviewer is fair with everything."
