"""Batches: padding, subsampling, and the order of visits."""

import random

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from pplug.base import InputError
from pplug.data.loading import load
from pplug.data.tasks import history_text
from pplug.method import batches
from pplug.method.answering import predict
from pplug.method.batches import Visits, collate, prepare, prepare_example, subsample
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM, build
from pplug.method.prompts import prompt_ids
from pplug.offline.simulate import simulate


def test_a_batch_is_padded_to_its_own_longest_and_no_further(model):
    some = tiny.examples(model)[:4]
    batch = collate(model, some)
    longest = max(len(e.input_ids) + (0 if model.is_encoder_decoder else len(e.target_ids)) for e in some)
    assert batch["input_ids"].shape[1] == longest
    assert batch["history"].shape[1] == max(len(e.history) for e in some)
    assert batch["history_mask"].sum(dim=1).tolist() == [len(e.history) for e in some]


def test_the_instruction_only_control_gets_no_history(llm):
    control = build(*llm, tiny.MadeUpEncoder(), user=False)
    batch = collate(control, tiny.examples(control))
    assert not batch["history_mask"].any() and not batch["history"].any()


@given(st.integers(0, 40), st.integers(0, 10_000))
def test_subsampling_drops_at_most_half_and_keeps_the_order(n, seed):
    history = np.arange(n)[:, None]
    kept = subsample(history, random.Random(seed))[:, 0].tolist()
    assert kept == sorted(set(kept)) and len(kept) >= n / 2
    assert n > 2 or len(kept) == n


def test_subsampling_does_drop_items_and_keeps_one_draw_in_eleven_whole():
    sizes = [len(subsample(np.zeros((100, 1)), random.Random(i))) for i in range(2200)]
    assert 0.06 < np.mean(np.array(sizes) == 100) < 0.15
    assert min(sizes) < 55 and 70 < np.mean(sizes) < 82


def test_every_example_is_visited_once_before_any_is_visited_twice(model):
    visits = Visits(tiny.examples(model, 5), 12, seed=3)
    assert sorted(visits.order[:5]) == sorted(visits.order[5:10]) == list(range(5)) and len(visits) == 12
    again = Visits(tiny.examples(model, 5), 12, seed=3)
    assert all(np.array_equal(visits[i].history, again[i].history) for i in range(12))


def test_no_training_examples_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="no training examples"):
        Visits([], 3, 0)


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    return load(simulate(tmp_path_factory.mktemp("users") / "LaMP_3", "LaMP-3", 5, 0), "LaMP-3")


@pytest.fixture
def encoded(monkeypatch):
    """All history texts that are encoded."""
    texts = []

    def encode(encoder, some, cache=None, is_query=False):
        texts.extend([] if is_query else some)
        return tiny.vectors(max(len(some), 1), seed=len(some))[: len(some)]

    monkeypatch.setattr("pplug.method.batches.encode", encode)
    return texts


@pytest.mark.fault(16)
@pytest.mark.parametrize("choices", [{}, {"with_label": False}, {"max_history": 2}])
def test_of_the_history_only_what_the_examples_use_is_encoded(t5, users, encoded, choices):
    model = build(*t5, tiny.MadeUpEncoder(), **choices)
    example = users.splits["test"][1]
    (made,) = prepare(model, users, [example])
    rows = example["profile"][-choices.get("max_history", 0) :]
    assert len(rows) < len(users.items)
    texts = [history_text(users.task, users.items[row], choices.get("with_label", True)) for row in rows]
    assert sorted(encoded) == sorted(set(texts)) and len(made.history) == len(rows)


@pytest.mark.fault(16)
def test_no_examples_and_examples_without_history_encode_no_history(t5, users, encoded):
    for plug in (True, False):
        model = build(*t5, tiny.MadeUpEncoder()) if plug else PersonalizedLM(*t5, None, tiny.MadeUpEncoder())
        assert prepare(model, users, []) == []
        (made,) = prepare(model, users, [users.splits["test"][0] | {"profile": []}])
        assert encoded == [] and made.history.shape == (0, tiny.WIDTH)


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=4))
def test_each_example_gets_the_vectors_of_its_own_items_in_their_order(t5, users, profiles):
    examples = [users.splits["test"][0] | {"profile": profile} for profile in profiles]
    model = build(*t5, tiny.MadeUpEncoder())
    number = {history_text(users.task, item): row for row, item in enumerate(users.items)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "pplug.method.batches.encode",
            lambda encoder, texts, cache=None, is_query=False: np.array([[number.get(text, 0)] for text in texts]),
        )
        made = prepare(model, users, examples)
    assert [example.history.reshape(-1).tolist() for example in made] == profiles


def test_the_whole_history_can_be_encoded_in_one_go(t5, users, encoded):
    batches.encode_history(build(*t5, tiny.MadeUpEncoder(), with_label=False), users)
    assert encoded == users.history_texts(with_label=False)


def test_a_target_ends_with_the_end_token(model):
    nothing = tiny.vectors(0)
    made = prepare_example(model, "one", "two", nothing, tiny.vectors(1)[0], "one")
    assert made.target_ids[-1] == model.tokenizer.eos_token_id
    assert made.target_ids.count(model.tokenizer.eos_token_id) == 1


@pytest.mark.parametrize("kind", ["llama", "qwen"])
def test_in_a_chat_the_soft_prompt_stands_at_the_beginning_of_what_the_user_says(kind, tmp_path):
    llm, tokenizer = load_llm(str(tiny.save_llm(kind, tmp_path, chat=True)))
    before, asked = prompt_ids(tokenizer, "one two", is_encoder_decoder=False)
    whole = tokenizer.apply_chat_template(
        [{"role": "user", "content": "one two"}], tokenize=False, add_generation_prompt=True
    )
    assert "".join(tokenizer.decode(before + asked).split()) == "".join(whole.split())
    assert tokenizer.decode(asked).strip().startswith("one two") and "one" not in tokenizer.decode(before)
    cut = prompt_ids(tokenizer, "one two " * 300, is_encoder_decoder=False, most=10)
    assert cut[0] == before and len(cut[1]) == 10 + len(asked) - len(
        tokenizer("one two", add_special_tokens=False).input_ids
    )
    model = build(llm, tokenizer, tiny.MadeUpEncoder())
    made = [prepare_example(model, "one two", "three", np.zeros((0, 8)), np.zeros(8), "")]
    embedded, mask = model.join(**collate(model, made, for_generation=True))
    soft = model.plug.tokens
    table = llm.get_input_embeddings()
    assert torch.equal(embedded[0, : len(before)], table(torch.tensor(before)))
    assert torch.equal(embedded[0, len(before) + soft :], table(torch.tensor(asked))) and bool(mask.all())


# The soft prompt before the answer


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    """A decoder-only chat LLM with a plug whose soft prompt stands behind the question."""
    llm = load_llm(str(tiny.save_llm("llama", tmp_path_factory.mktemp("chat"), chat=True)))
    torch.manual_seed(0)
    return build(*llm, tiny.MadeUpEncoder(), before="answer", soft_tokens=2)


def asked(model, text: str, n: int = 3):
    return prepare_example(model, text, "two three", tiny.vectors(n, n), tiny.vectors(1, 9)[0], text)


def test_before_the_answer_all_that_is_asked_stands_in_front(behind):
    example = asked(behind, "one two")
    plain = prompt_ids(behind.tokenizer, "one two", False)
    assert example.before_ids == plain[0] + plain[1] and example.input_ids == []
    embeds, mask = behind.join(**collate(behind, [example], for_generation=True))
    tokens = behind.llm.get_input_embeddings()(torch.tensor([example.before_ids]))
    torch.testing.assert_close(embeds[:, : tokens.shape[1]], tokens)
    assert embeds.shape[1] == tokens.shape[1] + behind.plug.tokens and mask.all()


def test_before_the_answer_a_batch_answers_as_each_alone(behind):
    some = [asked(behind, text, n) for n, text in enumerate(("one", "the following article four", "two two"))]
    options = {"max_new_tokens": 6}
    assert predict(behind, some, **options) == [predict(behind, [one], **options)[0] for one in some]


def test_before_the_answer_needs_a_decoder_only_llm(t5):
    with pytest.raises(InputError, match="expected a decoder-only LLM"):
        build(*t5, tiny.MadeUpEncoder(), before="answer")
