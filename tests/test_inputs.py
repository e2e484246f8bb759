"""What a plug is trained and asked with: each way changes what it says it changes, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from pplug.data.loading import load
from pplug.method.batches import collate
from pplug.offline.simulate import simulate
from pplug.rivals.inputs import CHANGES, ITEMS, item_in_front, items_in_prompt, shuffled_users


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load(simulate(tmp_path_factory.mktemp("users"), "LaMP-4", 6, seed=3), "LaMP-4")


@pytest.fixture
def given(model, data):
    examples = data.splits["test"].to_list()
    model.facts["llm"] = "standin"  # for its wording of items
    ready = [
        tiny.example(model.tokenizer, example["input"], "three", len(example["profile"]), i, model.is_encoder_decoder)
        for i, example in enumerate(examples)
    ]
    return model, data, examples, ready, 0


@pytest.mark.parametrize("name", CHANGES)
def test_order_targets_and_queries_stay(given, name):
    ready, changed = given[3], CHANGES[name](*given)
    for before, after in zip(ready, changed, strict=True):
        assert after.target_ids == before.target_ids and np.array_equal(after.query, before.query)


def test_shuffled_users_have_another_users_history_and_their_own_input(given):
    for before, after in zip(given[3], shuffled_users(*given), strict=True):
        assert not np.array_equal(after.history, before.history) and after.input_ids == before.input_ids
        assert any(np.array_equal(after.history, other.history) for other in given[3])


def test_items_in_the_prompt_stand_before_the_input_and_are_the_users_own(given):
    model, data, examples, ready, _ = given
    for example, before, after in zip(examples, ready, items_in_prompt(*given), strict=True):
        told = model.tokenizer.decode(after.input_ids)
        own = [data.items[row]["title"] for row in example["profile"]]
        n = told.count(' is "')
        assert n in {min(k, len(own)) for k in ITEMS} and len(after.input_ids) >= len(before.input_ids)
        assert after.history is before.history


def test_the_item_in_front_stands_in_front_of_the_soft_prompt(given):
    model, _, _, ready, _ = given
    changed = item_in_front(*given)
    assert [example.input_ids for example in changed] == [example.input_ids for example in ready]
    assert any(example.before_ids for example in changed)
    batch = collate(model, changed, for_generation=True)
    joined, mask = model.join(**batch)
    soft, table = model.plug(batch["query"], batch["history"], batch["history_mask"]), model.llm.get_input_embeddings()
    for row, example in enumerate(changed):
        front, behind = (table(torch.tensor(ids, dtype=torch.long)) for ids in (example.before_ids, example.input_ids))
        assert torch.allclose(joined[row][mask[row].bool()], torch.cat([front, soft[row], behind]), atol=1e-6)


def test_batch_mates_with_longer_items_change_nothing(given):
    model, changed = given[0], item_in_front(*given)
    together = model.generate_batch(collate(model, changed, for_generation=True), max_new_tokens=4)
    alone = [model.generate_batch(collate(model, [e], for_generation=True), max_new_tokens=4)[0] for e in changed]
    assert together == alone
    batches = [collate(model, [example]) for example in changed]
    counts = [float((batch["labels"] != -100).sum()) for batch in batches]
    mean = sum(n * model(**batch)["loss"] for n, batch in zip(counts, batches, strict=True)) / sum(counts)
    assert torch.allclose(model(**collate(model, changed))["loss"], mean, atol=1e-5)


@pytest.fixture(scope="module")
def citations(tmp_path_factory):
    return load(simulate(tmp_path_factory.mktemp("users"), "LaMP-1", 4, seed=3), "LaMP-1")


@pytest.mark.fault(34)
@pytest.mark.parametrize("name", ["standin", "google/flan-t5-small"])
def test_lamp_1_has_its_item_in_front_too_whatever_the_llm(model, citations, name):
    """LaMP's own wording has the item inside the input; in front of the soft prompt it stands in ours."""
    examples = citations.splits["test"].to_list()
    model.facts["llm"] = name
    ready = [
        tiny.example(model.tokenizer, example["input"], "[1]", len(example["profile"]), i, model.is_encoder_decoder)
        for i, example in enumerate(examples)
    ]
    for example, before, after in zip(
        examples, ready, item_in_front(model, citations, examples, ready, 0), strict=True
    ):
        assert bool(after.before_ids) == bool(example["profile"]), "not silently the plain plug"
        titles = [citations.items[row]["title"] for row in example["profile"]]
        said = model.tokenizer.decode(after.before_ids, skip_special_tokens=True)
        assert after.input_ids == before.input_ids and (not titles or any(title in said for title in titles))


@pytest.mark.fault(6)
@pytest.mark.parametrize("places", [200, 240])
def test_what_is_put_in_front_leaves_the_llm_its_positions(given, places, monkeypatch):
    model, data, examples, ready, _ = given
    monkeypatch.setattr(model.tokenizer, "model_max_length", places)
    ready = [replace(example, input_ids=example.input_ids[:30]) for example in ready]
    for after in item_in_front(model, data, examples, ready, 0):
        assert len(after.before_ids) + model.plug.tokens + len(after.input_ids) <= places
