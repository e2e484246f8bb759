"""Examples of one's own: what they become is what LaMP's files of the same content become, and wrong ones are named."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from pplug.base.files import cache_folder
from pplug.data.loading import load
from pplug.data.tasks import get_task, history_text
from pplug.method.batches import prepare
from pplug.method.encoders import load_encoder
from pplug.method.examples import prepare_raw
from pplug.method.personalized import build
from pplug.method.training import train
from pplug.offline.simulate import simulate

MOVIES = get_task("LaMP-2")
ASKED = MOVIES.template.format(movie="a ship sinks")
GOOD = {"input": ASKED, "output": "romance", "history": [{"description": "a storm", "tag": "action"}], "user_id": "ann"}


@pytest.fixture
def encoded(monkeypatch):
    """All texts that are encoded; a vector holds a text's length."""
    texts = []

    def encode_texts(encoder, some, is_query=False):
        texts.append(list(some))
        return np.array([[len(text)] * tiny.WIDTH for text in some], dtype=np.float32).reshape(-1, tiny.WIDTH)

    monkeypatch.setattr("pplug.method.examples.encode_texts", encode_texts)
    return texts


@pytest.fixture
def mine(t5):
    torch.manual_seed(0)
    return build(*t5, tiny.MadeUpEncoder(), None, {"task": "LaMP-2"})


def test_raw_examples_become_what_the_same_ones_from_lamp_files_become(t5, tmp_path):
    data = load(simulate(tmp_path / "LaMP_3", "LaMP-3", 3, 0), "LaMP-3")
    model = build(*t5, load_encoder(), None, {"task": "LaMP-3"}, max_history=4, with_label=False)
    rows = data.splits["test"].to_list()
    raw = [row | {"history": [data.items[place] for place in row["profile"]]} for row in rows]
    before = {path for path in cache_folder().rglob("*") if path.is_file()}
    ours = prepare_raw(model, raw)
    assert {path for path in cache_folder().rglob("*") if path.is_file()} == before  # nothing reached the disk
    for one, other in zip(ours, prepare(model, data, rows, tmp_path), strict=True):
        assert replace(one, history=None, query=None) == replace(other, history=None, query=None)
        for vectors in ("history", "query"):
            found, expected = getattr(one, vectors), getattr(other, vectors)
            assert found.dtype == np.float16 and found.shape == expected.shape
            np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=0.01)
    kept = prepare_raw(model, raw, tmp_path)  # the store knows them all by now
    assert np.array_equal(kept[0].history, prepare(model, data, rows, tmp_path)[0].history)


def test_each_distinct_text_is_encoded_once_and_null_is_no_text(mine, encoded):
    examples = [GOOD, GOOD | {"history": [*GOOD["history"], {"description": None, "tag": 3}]}, GOOD | {"history": []}]
    made = prepare_raw(mine, examples)
    texts = [history_text(MOVIES, item) for item in (GOOD["history"][0], {"description": "", "tag": "3"})]
    assert encoded[0] == texts and encoded[1] == ["a ship sinks"] * 3
    assert [example.history[:, 0].tolist() for example in made] == [
        [len(texts[0])],
        [len(text) for text in texts],
        [],
    ]


def test_training_takes_them_in_one_call_and_goes_on_where_it_was_killed(mine, encoded, tmp_path, t5):
    examples = [GOOD | {"output": output} for output in ("romance", "action", "comedy")]
    curve = train(mine, examples, dev=examples[:1], steps=4, batch_size=2, folder=tmp_path)
    assert curve[-1]["step"] == 4
    torch.manual_seed(0)
    again = build(*t5, tiny.MadeUpEncoder(), None, {"task": "LaMP-2"})
    (tmp_path / "checkpoint-4" / "trainer_state.json").unlink()  # killed as it wrote the last one
    assert train(again, examples, dev=examples[:1], steps=4, batch_size=2, folder=tmp_path, resume=True) == curve
    assert tiny.weight_hash(again.plug) == tiny.weight_hash(mine.plug)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"output": None}, "training example 1: expected an output"),
        ({"output": ["romance"]}, "example 1: expected text as \"output\", found \\['romance'\\]"),
        ({"input": None}, 'example 1: expected text as "input", found None'),
        ({"input": "a ship sinks"}, "example 1: the input does not follow LaMP-2's template"),
        ({"history": None}, 'example 1: expected a list of items as "history", found None'),
        ({"history": ["a storm"]}, "example 1: history: expected an object as profile item 0"),
        ({"history": [{"description": "a storm"}]}, 'example 1: history: expected the field "tag" in profile item 0'),
        ({"history": [{"description": [], "tag": ""}]}, 'expected text or a number in the field "description"'),
    ],
)
def test_what_is_wrong_with_an_example_is_said_in_one_sentence(mine, encoded, change, says):
    with pytest.raises(ValueError, match=says):
        train(mine, [GOOD, GOOD | change], steps=1, batch_size=2)
    with pytest.raises(ValueError, match="example 1: expected"):
        train(mine, [GOOD, "a ship sinks"], steps=1, batch_size=2)
