"""Predictions in order, histories that are another user's, and controls that control."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import replies
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.base.errors import InputError
from pplug.data.tasks import TASKS, Task, build_input
from pplug.method import answering
from pplug.method import evaluation as module
from pplug.method.batches import Example
from pplug.method.card import model_card
from pplug.method.evaluation import NONE as NOBODY
from pplug.method.evaluation import OTHER, PLUG, answer_prompts, evaluate, predict, swap_histories
from pplug.method.personalized import PersonalizedLM
from pplug.method.saved import read_plug

EMPTY = np.zeros((0, 2), dtype=np.float16)


# Other users' histories


def examples_of(owners: list[int]) -> list[Example]:
    """Examples whose history tells whose it is."""
    return [
        Example([i], [i], np.full((owner, 2), owner, dtype=np.float16), np.zeros(2, dtype=np.float16), f"query {i}")
        for i, owner in enumerate(owners)
    ]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=12).filter(lambda some: len(set(some)) > 1), st.integers())
def test_nobody_gets_the_own_history_and_all_else_stays(owners, seed):
    before = examples_of(owners)
    swapped = swap_histories(before, [f"u{owner}" for owner in owners], seed)
    for mine, other, owner in zip(before, swapped, owners, strict=True):
        assert len(other.history) != owner and any(other.history is some.history for some in before)
        assert (other.input_ids, other.target_ids, other.query_text) == (
            mine.input_ids,
            mine.target_ids,
            mine.query_text,
        )
        assert other.query is mine.query and len(mine.history) == owner


def test_swapping_is_seeded():
    owners = list(range(20))
    names = [str(owner) for owner in owners]

    def donors(seed: int) -> list[int]:
        return [len(example.history) for example in swap_histories(examples_of(owners), names, seed)]

    assert donors(0) == donors(0) != donors(1)


@pytest.mark.parametrize("names", [["u"], ["u", "u", "u"], []])
def test_one_user_alone_cannot_be_swapped(names):
    with pytest.raises(ValueError, match="at least two users"):
        swap_histories(examples_of([1] * len(names)), names, 0)


# Predictions and controls


class Echo:
    """Stands for a model: says its name, the tokens it is asked and how many items it is told."""

    def __init__(self, name: str = "model"):
        self.name, self.batches, self.options = name, [], []
        self.llm = self.encoder = None
        self.tokenizer = self

    def generate_batch(self, examples, **options):
        self.batches.append([len(example.input_ids) for example in examples])
        self.options.append(options)
        return [f"{''.join(map(chr, example.input_ids))}|{len(example.history)}" for example in examples]


@pytest.fixture
def echo(monkeypatch):
    def collate(model, examples, for_generation):
        assert for_generation
        return examples

    def with_prompts(model, prepared, prompts):
        return [replace(example, input_ids=[*map(ord, text)]) for example, text in zip(prepared, prompts, strict=True)]

    monkeypatch.setattr(answering, "collate", collate)
    monkeypatch.setattr(module, "with_prompts", with_prompts)
    return Echo()


@settings(max_examples=30)
@given(st.lists(st.text("abc", max_size=6), max_size=12), st.integers(1, 5))
def test_predictions_come_in_the_order_given(texts, batch_size):
    model = Echo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering, "collate", lambda model, examples, for_generation: examples)
        found = predict(model, [Example([*map(ord, text)], [], EMPTY, EMPTY, "") for text in texts], batch_size)
    assert found == [f"{text}|0" for text in texts]
    assert [n for batch in model.batches for n in batch] == sorted(map(len, texts)), "batches of similar length"
    assert all(0 < len(batch) <= batch_size for batch in model.batches)


def test_prompts_are_answered_as_text_alone_with_the_options_given(echo):
    assert answer_prompts(echo, ["b", "aa"], num_beams=2) == ["b|0", "aa|0"]
    assert echo.options == [{"num_beams": 2}]


# The public evaluation


FOUND = {  # whose row it is → the answer to each of ann's three questions and bob's one
    PLUG: ["4", "4", "4", "1"],
    OTHER: ["4", "1", "1", "1"],
    NOBODY: ["1", "1", "1", "1"],
}


@pytest.fixture
def rated(t5, monkeypatch):
    """A model for ratings whose answers are those of `FOUND`."""
    replies.patch_encoder(monkeypatch)
    model = replies.make_model(t5, "LaMP-3")
    rows = iter((PLUG, OTHER, NOBODY))
    options = []

    def predict(model, examples, **given):
        options.append(given)
        row = next(rows) if model.plug is not None else NOBODY
        return FOUND[row][: len(examples)]

    monkeypatch.setattr(module, "predict", predict)
    return SimpleNamespace(model=model, options=options)


def ratings(users=("ann", "ann", "ann", "bob"), outputs=("4", "4", "4", "3")) -> list[dict]:
    asked = [build_input(TASKS["LaMP-3"], review=f"review {i}") for i in range(len(users))]
    history = {"ann": [{"text": "good", "score": 4}], "bob": []}
    return [
        {"input": text, "output": output, "history": history.get(user, []), "user_id": user}
        for text, output, user in zip(asked, outputs, users, strict=True)
    ]


def test_a_users_examples_are_averaged_before_users_are(rated):
    found = evaluate(rated.model, ratings())
    means = {row: {name: i.mean for name, i in own.items()} for row, own in found.metrics.items()}
    assert means == {
        PLUG: {"mae": pytest.approx((0 + 2) / 2), "rmse": pytest.approx((4 / 2) ** 0.5)},
        OTHER: {"mae": pytest.approx((2 + 2) / 2), "rmse": pytest.approx(((0 + 9 + 9) / 3 / 2 + 4 / 2) ** 0.5)},
        NOBODY: {"mae": pytest.approx((3 + 2) / 2), "rmse": pytest.approx((9 / 2 + 4 / 2) ** 0.5)},
    }
    gains = {row: {name: i.mean for name, i in own.items()} for row, own in found.gains.items()}
    assert gains == {OTHER: {"mae": pytest.approx(1)}, NOBODY: {"mae": pytest.approx(1.5)}}, "less error is a gain"
    assert (found.users, found.answers) == (2, FOUND)
    interval = found.metrics[PLUG]["mae"]
    assert (interval.low, interval.high) == (0, 2), "over two users, not four examples"
    assert rated.options == [{"max_new_tokens": 10, "batch_size": 32}] * 3


def test_the_table_names_rows_metrics_and_gains(rated):
    told = str(evaluate(rated.model, ratings()))
    lines = told.splitlines()
    assert lines[0] == "4 examples of 2 users; means over users with 95 % intervals" and len(lines) == 6
    assert lines[1].startswith("plug ") and "mae ↓ 1.000 [0.000, 2.000]   rmse ↓ 1.414 [" in lines[1]
    assert lines[5].startswith("gain over no personalisation") and "mae +1.500 [+0.000, +3.000] ∅" in lines[5]


def test_scores_are_saved_with_the_plug_and_stand_in_its_card(t5, tmp_path, monkeypatch):
    replies.patch_encoder(monkeypatch)
    model = replies.make_model(t5)
    asked = [{"input": "Reply to: one", "output": "two", "history": replies.items("a"), "user_id": n} for n in "ab"]
    found = evaluate(model, asked, max_new_tokens=3)
    model.facts["scores"] = found.scores
    facts, _, _ = read_plug(model.save_pretrained(tmp_path) / "plug.safetensors")
    assert set(facts["scores"]) == set(found.metrics)
    for name, i in found.metrics[PLUG].items():
        assert facts["scores"][PLUG][name] == {"mean": i.mean, "low": i.low, "high": i.high}
        assert f"{i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]" in model_card(facts, model.plug, "ann/plug")


def test_without_controls_or_other_users_there_is_less_to_compute(rated):
    alone = evaluate(rated.model, ratings(("ann",) * 3, ("4",) * 3))
    assert list(alone.metrics) == [PLUG, NOBODY] and alone.users == 1


def test_controls_are_left_out_on_request(rated):
    found = evaluate(rated.model, ratings(), controls=False, num_beams=2, max_new_tokens=3)
    assert list(found.metrics) == [PLUG] and not found.gains
    assert rated.options == [{"max_new_tokens": 3, "batch_size": 32, "num_beams": 2}]


def test_examples_without_a_user_are_users_of_their_own(rated):
    examples = [{name: value for name, value in e.items() if name != "user_id"} for e in ratings()]
    assert evaluate(rated.model, examples).users == 4


def test_every_answer_is_the_plugs_own_with_the_right_history(t5, monkeypatch):
    """Nothing patched but the encoder: rows equal what `generate` gives for own and for other users."""
    replies.patch_encoder(monkeypatch)
    model = replies.make_model(t5)
    examples = [
        {"input": f"Reply to: {word}", "output": "x", "history": replies.items(*history), "user_id": user}
        for word, history, user in (("one", "ab", "ann"), ("two three", "c", "bob"))
    ]
    found = evaluate(model, examples, max_new_tokens=3, batch_size=1)
    users = [model.user(example["history"]) for example in examples]
    texts = [example["input"] for example in examples]
    assert found.answers[PLUG] == model.generate(texts, users, max_new_tokens=3)
    assert found.answers[OTHER] == model.generate(texts, users[::-1], max_new_tokens=3)
    assert found.answers[NOBODY] == answer_prompts(PersonalizedLM(*t5), texts, max_new_tokens=3)
    assert tuple(found.metrics[PLUG]) == ("rouge1", "rougeL") == tuple(found.gains[NOBODY])


def test_f1_counts_whole_users(t5, monkeypatch):
    replies.patch_encoder(monkeypatch)
    task = Task("mood", "How does it sound: {text}", ("text", "mood"), labels=("good", "bad"))
    monkeypatch.setattr(module, "predict", lambda model, examples, **options: ["good", "bad", "bad", "good"])
    examples = [
        {"input": "How does it sound: x", "output": gold, "history": [], "user_id": user}
        for gold, user in (("good", "ann"), ("bad", "ann"), ("bad", "bob"), ("good", "bob"))
    ]
    found = evaluate(replies.make_model(t5, task), examples).metrics[PLUG]
    assert {name: (i.mean, i.low, i.high) for name, i in found.items()} == {"accuracy": (1, 1, 1), "f1": (1, 1, 1)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"output": None}, "example 1: .*output"),
        ({"history": None}, "example 1: .*history"),
        ({"output": "6"}, "example 1: output: expected one of the labels 1, 2, 3, 4, 5, found '6'"),
        ({"input": "How is it?"}, "does not follow LaMP-3's template"),
        ({"history": [{"text": "a"}]}, "example 1: history: .*score.*item 0"),
    ],
)
def test_an_example_that_cannot_be_scored_is_named(rated, change, told):
    examples = ratings()
    examples[1] = examples[1] | change
    with pytest.raises(InputError, match=told):
        evaluate(rated.model, examples)


def test_no_examples_no_scores(rated):
    with pytest.raises(InputError, match="no examples"):
        evaluate(rated.model, [])
