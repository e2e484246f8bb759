"""No one's history reaches another's output: in any company, a user's soft prompt, logits and text are hers alone."""

import pytest
import tiny
import torch
from effort import cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pplug.method.batches import collate
from pplug.method.personalized import build

pytestmark = pytest.mark.long
CASES = cases(usual=30, nightly=2600)  # batches, times four: two kinds of LLM, greedy and beam
WORDS = ("one", "two", "three", "four", "headline", "the")
TOLERANCE = 1e-4  # of the largest number; padding changes the order in which numbers are added

users = st.builds(
    lambda n, seed, words, target: (n, seed, " ".join(words), target),
    st.one_of(st.sampled_from((0, 1, 2)), st.integers(0, 12), st.just(512)),
    st.integers(0, 5),  # few, so that batches hold the same history twice
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=12),
    st.sampled_from(WORDS),
)
batches = st.lists(users, min_size=2, max_size=6).flatmap(st.permutations)


@pytest.fixture(scope="module")
def fresh(llm):
    torch.manual_seed(0)
    return build(*llm, tiny.MadeUpEncoder(), soft_tokens=2)


def example(model, user):
    n, seed, text, target = user
    return tiny.example(model.tokenizer, text, target, n, seed, model.is_encoder_decoder)


def soft_prompts(model, examples):
    """What is put in front of each input, found behind its padding."""
    joined, mask = model.join(**collate(model, examples, for_generation=True))
    starts = mask.argmax(dim=1)
    return [joined[row, start : start + model.plug.tokens] for row, start in enumerate(starts.tolist())]


def padded_left(model, batch):
    """The same batch with the padding of its inputs moved from the right to the left."""
    moved = ["input_ids", "attention_mask"] + ([] if model.is_encoder_decoder else ["labels"])
    padding = (batch["attention_mask"] == 0).sum(dim=1).tolist()
    return batch | {k: torch.stack([r.roll(n) for r, n in zip(batch[k], padding, strict=True)]) for k in moved}


def target_logits(model, examples, left=False):
    """The logits each target token is predicted from."""
    batch = collate(model, examples)
    batch = padded_left(model, batch) if left else batch
    logits, found = model(**batch)["logits"], []
    shift = logits.shape[1] - batch["labels"].shape[1] - (not model.is_encoder_decoder)
    for row, labels in enumerate(batch["labels"]):
        found.append(logits[row, (labels != -100).nonzero()[:, 0] + shift])
    return found


def apart(found, expected) -> float:
    """The largest difference, as a share of the largest number expected."""
    return ((found - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("beams", [1, 3])
@settings(max_examples=CASES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(drawn=batches)
def test_every_user_in_company_gets_what_she_gets_alone(fresh, beams, drawn):
    examples = [example(fresh, user) for user in drawn]
    options = {"max_new_tokens": 4, "num_beams": beams}
    with torch.inference_mode():
        together = soft_prompts(fresh, examples), target_logits(fresh, examples)
        left = target_logits(fresh, examples, left=True)
        texts = fresh.generate_batch(collate(fresh, examples, for_generation=True), **options)
        for row, own in enumerate(examples):
            alone = soft_prompts(fresh, [own])[0], target_logits(fresh, [own])[0]
            assert apart(together[0][row], alone[0]) <= TOLERANCE and apart(together[1][row], alone[1]) <= TOLERANCE
            assert apart(left[row], alone[1]) <= TOLERANCE
            assert texts[row] == fresh.generate_batch(collate(fresh, [own], for_generation=True), **options)[0]


def test_the_check_sees_a_history_that_leaks(fresh):
    """A plug that mixes a little of its neighbour's history into a user's is found out."""
    examples = [example(fresh, (3, seed, "one two", "three")) for seed in (0, 1)]
    before = soft_prompts(fresh, examples)
    own = fresh.plug.user_embedding
    fresh.plug.user_embedding = lambda *given: 0.999 * own(*given) + 0.001 * own(*given).roll(1, 0)
    try:
        leaking = soft_prompts(fresh, examples)
    finally:
        del fresh.plug.user_embedding
    assert all(apart(a, b) > TOLERANCE for a, b in zip(leaking, before, strict=True))
