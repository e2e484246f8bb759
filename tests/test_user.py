"""A user: made once, changed without being made anew, kept in a file, refused by another plug."""

import json
from dataclasses import replace

import numpy as np
import pytest
import replies
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replies import items
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pplug.base.errors import DataError, InputError
from pplug.base.files import write_text
from pplug.data.loading import load
from pplug.data.tasks import TASKS, Task, history_text
from pplug.method import user as module
from pplug.method.answering import questions
from pplug.method.batches import collate
from pplug.method.personalized import PersonalizedLM
from pplug.method.user import User, build_users

WAYS = [
    {"pooling": "attention"},
    {"pooling": "attention", "top_k": 2},
    {"pooling": "mean"},
    {"pooling": "mean", "max_history": 3},
    {"pooling": "last"},
    {"pooling": "max"},
    {"soft_tokens": 3, "normalise": False},
]
ASKED = "Reply to: one two"
words = st.lists(st.sampled_from("abcdefgh"), max_size=6)


@pytest.fixture(autouse=True)
def encoder(monkeypatch):
    replies.patch_encoder(monkeypatch)


@pytest.fixture
def model(t5):
    return replies.make_model(t5)


def names(ways: dict) -> str:
    return ",".join(f"{name}={value}" for name, value in ways.items())


def same(a: User, b: User, tolerance: float = 1e-5) -> bool:
    """Whether a plug sees no difference."""
    model = a.model or b.model
    prompts = [model.soft_prompt(ASKED, user) for user in (a, b)]
    return len(a) == len(b) and np.array_equal(a.keys, b.keys) and torch.allclose(*prompts, atol=tolerance)


@pytest.mark.parametrize("choices", WAYS, ids=names)
@pytest.mark.parametrize("history", [(), "a", "abcde"])
def test_a_users_soft_prompt_is_the_one_the_plug_was_trained_with(t5, choices, history):
    model = replies.make_model(t5, **choices)
    user = model.user(items(*history))
    used = items(*history)[-choices.get("max_history", 0) :]
    vectors = replies.encode_texts(model.encoder, [history_text(model.task, item) for item in used])
    [example] = questions(model, [ASKED], [user])
    plain = replace(example, history=vectors.astype(np.float16), features=None)
    batch = collate(model, [plain])
    with torch.no_grad():
        expected = model.plug(batch["query"], batch["history"], batch["history_mask"])[0]
        weights = model.plug.weights(batch["query"], batch["history"], batch["history_mask"])[0, : len(used)]
    assert torch.allclose(model.soft_prompt(ASKED, user), expected, atol=1e-5)
    assert torch.allclose(model.weights(ASKED, user), weights, atol=1e-6)
    assert len(user) == len(used)


@pytest.mark.parametrize("choices", WAYS, ids=names)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=words, more=words)
def test_adding_is_as_if_all_had_been_there(t5, choices, first, more):
    model = replies.make_model(t5, **choices)
    user = model.user(items(*first))
    assert same(user.add(items(*more)), model.user(items(*first, *more)))
    assert same(user, model.user(items(*first))), "nothing changes a user"


@pytest.mark.parametrize("choices", [way for way in WAYS if "max_history" not in way], ids=names)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=words, gone=st.sets(st.sampled_from("abcdefgh"), max_size=3))
def test_removing_is_as_if_they_had_never_been_there(t5, choices, history, gone):
    model = replies.make_model(t5, **choices)
    there = [word for word in sorted(gone) if word in history]
    left = model.user(items(*history)).remove(items(*there, *there[:1]))
    assert same(left, model.user(items(*(word for word in history if word not in gone))), tolerance=1e-4)


def test_items_are_removed_by_position_where_the_plug_keeps_them(model):
    user = model.user(items(*"abcb"))
    assert same(user.remove([0, -1]), model.user(items(*"bc")))
    assert same(user.remove([1]), model.user(items(*"acb")))
    for place in (4, -5):
        with pytest.raises(InputError, match="0 to 3"):
            user.remove([place])


def test_what_cannot_be_removed_is_named(t5, model):
    with pytest.raises(InputError, match="items to remove: item 1: expected an item of this user"):
        model.user(items(*"ab")).remove(items(*"bx"))
    with pytest.raises(InputError, match="expected an object as profile item 0"):
        model.user(items(*"ab")).remove([True])
    with pytest.raises(InputError, match="give the items to remove, not positions"):
        replies.make_model(t5, pooling="mean").user(items(*"ab")).remove([0])


def test_no_more_items_count_than_the_plug_was_trained_with(t5, monkeypatch):
    model, encoded = replies.make_model(t5, max_history=2), []
    monkeypatch.setattr(
        module, "encode_texts", lambda e, texts, **options: encoded.extend(texts) or replies.encode_texts(e, texts)
    )
    user = model.user(items(*"abc"))
    assert encoded == ["b? b!", "c? c!"] and len(user) == 2
    assert same(user.add(items(*"d")), model.user(items(*"cd")))


@pytest.mark.fault(9)
def test_nothing_of_a_user_or_a_question_reaches_the_disk(t5, tmp_path, monkeypatch):
    monkeypatch.undo()  # the real encoder, whose store is in the cache
    monkeypatch.setenv("PPLUG_CACHE", str(tmp_path))
    model = PersonalizedLM.create(replies.TASK, *t5)
    user = model.user(items(*"abc")).add(items("d")).remove(items("a"))
    model.generate([ASKED, ASKED], user, max_new_tokens=2)
    model.soft_prompt(ASKED, user), model.weights(ASKED, user), model.prompt_embeds(ASKED, user)
    assert not list(tmp_path.rglob("*"))


def test_each_distinct_text_of_all_users_is_encoded_once(model, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "encode_texts", lambda e, t, **o: calls.append(t) or replies.encode_texts(e, t))
    one, nobody, other = build_users(model, [items(*"ab"), [], items(*"b")])
    assert len(calls) == 1 and [len(user) for user in (one, nobody, other)] == [2, 0, 1]
    assert same(other, model.user(items("b"))) and same(nobody, model.user([]))


@pytest.mark.fault(12)
def test_items_are_cleaned_as_the_loader_cleans_them(model, monkeypatch, tmp_path):
    odd = [{"message": None, "reply": 3}, {"message": "a", "reply": None, "id": 4}, {"message": 1.5, "reply": ""}]
    seen = []
    monkeypatch.setattr(module, "encode_texts", lambda e, t, **o: seen.extend(t) or replies.encode_texts(e, t))
    model.user(odd)
    question = {"id": "1", "input": ASKED, "profile": odd}
    write_text(tmp_path / "test_questions.json", json.dumps([question]))
    assert seen == load(tmp_path, replies.TASK).history_texts() and "None" not in "".join(seen)


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("history", "told"),
    [
        ([{"message": "a"}], "reply.*item 0"),
        ([*items("a"), {"reply": "a", "message": ["b"]}], "message.*item 1"),
        ([None], "item 0"),
        ("a text", "list of items"),
        ({"message": "a", "reply": "b"}, "list of items"),
    ],
)
def test_what_is_no_history_is_refused_with_the_place(model, history, told):
    with pytest.raises(InputError, match=told):
        model.user(history)


# Files


@pytest.mark.parametrize("choices", [*WAYS, {"user": False}], ids=names)
@pytest.mark.parametrize("history", ["", "abcde"])
def test_a_user_comes_back_from_a_file_in_half_precision(t5, tmp_path, choices, history):
    model = replies.make_model(t5, **choices)
    user = model.user(items(*history))
    assert user.save(tmp_path / "u.safetensors") == tmp_path / "u.safetensors"
    back = User.load(tmp_path / "u.safetensors", model)
    assert same(back, user, tolerance=1e-2) and str(back) == str(user)
    assert same(back.add(items("x")), user.add(items("x")), tolerance=1e-2)
    assert isinstance(model.generate(ASKED, User.load(tmp_path / "u.safetensors"), max_new_tokens=2), str)


def test_a_file_holds_no_text_and_no_more_than_half_precision_numbers(model, tmp_path):
    model.user(items("secretly", "said")).save(tmp_path / "u.safetensors")
    raw = (tmp_path / "u.safetensors").read_bytes()
    assert b"secretly" not in raw and b"said" not in raw
    config, tensors = model.plug.config, load_file(tmp_path / "u.safetensors")
    assert {name: value.dtype for name, value in tensors.items()} == {
        "keys": torch.uint8,
        "vectors": torch.float16,
        "features": torch.float16,
    }
    assert sum(value.nbytes for value in tensors.values()) == 2 * (16 + 2 * config.encoder_width + 2 * config.llm_width)


def test_mean_pooling_keeps_one_row_however_long_the_history(t5, tmp_path):
    model = replies.make_model(t5, pooling="mean")
    long = model.user(items(*"abcdefgh"))
    long.save(tmp_path / "u.safetensors")
    assert load_file(tmp_path / "u.safetensors")["total"].shape == (model.plug.config.llm_width,)
    assert long.vectors is None and long.features is None


def test_another_plug_task_or_encoder_is_refused_with_what_differs(t5, model, tmp_path):
    user = model.user(items(*"ab"))
    user.save(tmp_path / "u.safetensors")
    other_encoder = replies.make_model(t5)
    other_encoder.encoder = replace(model.encoder, key="another")
    others = {
        "plug": replies.make_model(t5, seed=1),
        "task": replies.make_model(t5, Task(name="mails", template="Reply to: {message}", fields=("message", "reply"))),
        "encoder": other_encoder,
    }
    for what, other in others.items():
        for ask in (
            lambda other=other: other.generate(ASKED, user),
            lambda other=other: other.soft_prompt(ASKED, user),
            lambda other=other: User.load(tmp_path / "u.safetensors", other),
        ):
            with pytest.raises(InputError, match=rf"made for the {what} .*: make it again with model\.user"):
                ask()


def test_a_plug_trained_further_is_another_one_and_its_second_layer_alone_is_not(model):
    user = model.user(items(*"ab"))
    with torch.no_grad():
        model.plug.projector.out.weight += 0.1
    before = model.soft_prompt(ASKED, user)
    assert torch.allclose(before, model.soft_prompt(ASKED, model.user(items(*"ab"))), atol=1e-6)
    with torch.no_grad():
        model.plug.projector.hidden.weight += 0.1
    with pytest.raises(InputError, match="make it again"):
        model.soft_prompt(ASKED, user)


def test_a_user_loaded_without_its_model_is_asked_for_but_not_changed(model, tmp_path):
    user = User.load(model.user(items(*"ab")).save(tmp_path / "u.safetensors"))
    for change in (user.add, user.remove):
        with pytest.raises(InputError, match=r"User\.load\(path, model\)"):
            change(items("a"))


def test_a_damaged_file_is_refused_by_name(model, tmp_path):
    path = model.user(items(*"ab")).save(tmp_path / "u.safetensors")
    whole, tensors = path.read_bytes(), load_file(path)
    with pytest.raises(FileNotFoundError, match=r"no\.safetensors"):
        User.load(tmp_path / "no.safetensors")
    for broken in (b"", whole[:40], whole[:-1], b"x" * 100):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"u\.safetensors"):
            User.load(path)
    save_file(tensors, path)  # numbers without what they were made for
    with pytest.raises(DataError, match=r"u\.safetensors"):
        User.load(path)
    path.write_bytes(whole)
    for changed in (
        {"keys": tensors["keys"][:1]},
        {"keys": tensors["keys"].float()},
        {"vectors": tensors["vectors"][:1]},
        {"vectors": tensors["vectors"].float()},
        {"features": tensors["features"][:1]},
        {"features": tensors["features"] * float("nan")},
        {"total": torch.zeros(3)},
    ):
        with safe_open(path, "pt") as file:
            told = file.metadata()
        save_file(tensors | changed, tmp_path / "other.safetensors", told)
        with pytest.raises(DataError, match=r"other\.safetensors"):
            User.load(tmp_path / "other.safetensors")
    save_file(tensors | {"vectors": tensors["vectors"][:, :3].contiguous()}, tmp_path / "other.safetensors", told)
    with pytest.raises(DataError, match="expected 8 for each item, found 3"):
        User.load(tmp_path / "other.safetensors", model)


def test_a_file_that_cannot_be_written_whole_is_not_written(model, tmp_path):
    user = model.user(items("a"))
    with pytest.raises(InputError, match="not finite"):
        replace(user, features=user.features + 1e6).save(tmp_path / "u.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_model_without_plug_has_no_users(t5):
    with pytest.raises(InputError, match="without a plug"):
        PersonalizedLM(*t5).user([])


def test_labels_are_part_of_a_user_only_where_the_plug_reads_them(t5):
    task = TASKS["LaMP-2"]
    told, untold = (replies.make_model(t5, task, with_label=label) for label in (True, False))
    film = [{"description": "A film.", "tag": "classic"}, {"description": "A film.", "tag": "comedy"}]
    assert len({key.tobytes() for key in told.user(film).keys}) == 2
    assert len({key.tobytes() for key in untold.user(film).keys}) == 1
