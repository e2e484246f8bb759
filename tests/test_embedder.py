"""The plug without an LLM: equations 3 and 4 by construction, and its invariants."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pplug.method.embedder import Plug, Projector, attention, keep_top_k, last, mean
from pplug.method.plug_config import POOLINGS, PlugConfig

D, H, NORM = 6, 10, 3.0


def config(**choices) -> PlugConfig:
    return PlugConfig(**({"encoder_width": D, "llm_width": H, "embedding_norm": NORM} | choices))


def batch(n_users: int = 3, n_items: int = 5, seed: int = 0):
    """Queries, histories and masks; user i has i + 1 items, the last user all."""
    generator = torch.Generator().manual_seed(seed)
    query = torch.nn.functional.normalize(torch.randn(n_users, D, generator=generator), dim=-1)
    history = torch.nn.functional.normalize(torch.randn(n_users, n_items, D, generator=generator), dim=-1)
    lengths = torch.tensor([*range(1, n_users), n_items])
    return query, history, torch.arange(n_items) < lengths[:, None]


def plug(seed: int = 0, **choices) -> Plug:
    torch.manual_seed(seed)
    return Plug(config(**choices))


def test_attention_is_equation_3_on_vectors_one_can_check_by_hand():
    history = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    weights = attention(torch.tensor([[1.0, 0.0]]), history, torch.ones(1, 3, dtype=torch.bool))
    total = math.e + 1 + 1 / math.e
    assert torch.allclose(weights, torch.tensor([[math.e, 1, 1 / math.e]]) / total)


def test_a_lower_temperature_sharpens_attention():
    query, history, mask = batch()
    soft, sharp = attention(query, history, mask), attention(query, history, mask, 0.1)
    assert (sharp.max(dim=1).values >= soft.max(dim=1).values - 1e-6).all()
    assert sharp[-1].max() > soft[-1].max()


def test_at_temperature_1_no_item_weighs_more_than_e_squared_times_another():
    query, history, mask = batch(n_users=2, n_items=50)
    weights = attention(query, history, mask)[-1]
    assert weights.max() / weights.min() <= math.e**2


def test_mean_last_and_top_k_by_construction():
    query, history, mask = batch()
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert mean(query[:2], history[:2, :3], mask).tolist() == [[0.5, 0.5, 0.0], pytest.approx([1 / 3] * 3)]
    assert last(query[:2], history[:2, :3], mask).tolist() == [[0, 1, 0], [0, 0, 1]]
    kept = keep_top_k(torch.tensor([[0.5, 0.1, 0.4], [1.0, 0.0, 0.0]]), 2)
    assert torch.allclose(kept, torch.tensor([[5 / 9, 0, 4 / 9], [1, 0, 0]]))


@given(st.integers(0, 8), st.integers(0, 1000))
def test_weights_are_a_distribution_over_the_items_there_are(n, seed):
    query, history, _ = batch(n_users=2, n_items=8, seed=seed)
    mask = (torch.arange(8) < n).expand(2, -1)
    for weights in (attention(query, history, mask), mean(query, history, mask), last(query, history, mask)):
        assert (weights >= 0).all() and (weights[~mask] == 0).all()
        assert torch.allclose(weights.sum(dim=1), torch.full((2,), float(n > 0)), atol=1e-5)


def test_user_embedding_is_equation_4_computed_item_by_item():
    p = plug()
    query, history, mask = batch()
    weights = attention(p.input_encoder(query), history, mask)
    expected = torch.einsum("bn,bnh->bh", weights, p.projector(history))
    assert torch.allclose(p.user_embedding(query, history, mask)[:, 0], expected, atol=1e-6)


def test_pooling_before_the_second_linear_layer_equals_pooling_after_it():
    torch.manual_seed(0)
    projector = Projector(D, H, soft_tokens=2)
    weights = torch.rand(7).softmax(dim=0)
    vectors = torch.randn(7, D)
    after = weights @ projector(vectors)
    before = projector.out(weights @ projector.features(vectors))
    assert torch.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_projecting_items_alone_equals_projecting_every_slot(pooling):
    p = plug(pooling=pooling, soft_tokens=2)
    query, history, mask = batch()
    every = p.projector.features(history)  # padding included
    weighted = (p.weights(query, history, mask)[..., None] * every).sum(dim=1)
    largest = every.masked_fill(~mask[..., None], -math.inf).amax(dim=1)
    plain = p.projector.out(largest if pooling == "max" else weighted).unflatten(-1, (2, H))
    assert torch.allclose(p.user_embedding(query, history, mask), plain, atol=1e-6)


@pytest.mark.parametrize("pooling", ["attention", "mean", "max"])
def test_permuting_a_history_leaves_the_user_embedding_unchanged(pooling):
    p = plug(pooling=pooling)
    query, history, mask = batch()
    order = torch.tensor([4, 2, 0, 1, 3])
    assert torch.allclose(p(query, history, mask), p(query, history[:, order], mask[:, order]), atol=1e-5)


def test_last_does_depend_on_the_order():
    p = plug(pooling="last")
    query, history, mask = batch()
    full = torch.ones_like(mask)
    assert not torch.allclose(p(query, history, full), p(query, history.flip(1), full), atol=1e-3)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_and_batch_mates_change_nothing_for_a_user(pooling):
    p = plug(pooling=pooling, soft_tokens=2)
    query, history, mask = batch()
    together = p(query, torch.cat([history, torch.full((3, 4, D), 9.0)], 1), torch.nn.functional.pad(mask, (0, 4)))
    for user in range(3):
        n = int(mask[user].sum())
        alone = p(query[[user]], history[[user], :n], mask[[user], :n])
        assert torch.allclose(together[[user]], alone, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_empty_history_is_finite_forwards_and_backwards(pooling):
    p = plug(pooling=pooling)
    query, history, mask = batch()
    mask = mask.clone()
    mask[0] = False
    out = p(query, history.masked_fill(~mask[..., None], 0.0), mask)
    out.square().sum().backward()
    assert out.isfinite().all()
    assert all(q.grad is None or q.grad.isfinite().all() for q in p.parameters())


def test_what_is_known_of_a_user_without_history_is_trained():
    p = plug()
    query, history, mask = batch()
    no_items = torch.zeros_like(mask)
    (p(query, history, no_items) * torch.arange(H)).sum().backward()
    assert p.no_history.grad.abs().sum() > 0
    assert p.projector.out.weight.grad is None or p.projector.out.weight.grad.abs().sum() == 0


def test_top_k_with_k_1_is_the_most_similar_item_alone():
    p = plug(top_k=1)
    query, history, mask = batch()
    best = attention(p.input_encoder(query), history, mask).argmax(dim=1)
    expected = p.projector(history[torch.arange(3), best])
    assert torch.allclose(p.user_embedding(query, history, mask)[:, 0], expected, atol=1e-6)


def test_soft_tokens_have_the_length_of_the_llms_own_embeddings():
    p = plug(soft_tokens=3)
    lengths = p(*batch()).norm(dim=-1)
    assert lengths.shape == (3, 4) == (3, p.tokens)
    assert torch.allclose(lengths, torch.full_like(lengths, NORM), atol=1e-4)


def test_the_instruction_embedding_is_one_token_shared_by_all_users():
    p = plug()
    out = p(*batch())
    assert torch.equal(out[0, 0], out[1, 0]) and not torch.allclose(out[0, 1], out[1, 1])
    assert plug(instruction=False).tokens == 1
    without_user = plug(user=False)
    assert without_user.tokens == 1 and without_user.projector is None
    assert without_user(*batch()).shape == (3, 1, H)


def test_the_input_encoder_starts_as_the_frozen_encoder_and_its_map_is_trained():
    p = plug()
    query, history, mask = batch()
    assert torch.allclose(p.input_encoder(query), query, atol=1e-6)
    p.user_embedding(query, history, mask)[..., 0].sum().backward()
    assert p.input_encoder.map.weight.grad.abs().sum() > 0


def test_a_learnable_temperature_starts_at_1_and_gets_a_gradient():
    p, fixed = plug(learn_temperature=True), plug()
    fixed.load_state_dict(p.state_dict(), strict=False)
    assert torch.allclose(p(*batch()), fixed(*batch()))
    p(*batch())[..., 0].sum().backward()
    assert p.log_temperature.grad.abs() > 0


def gradients_of_a_batch_with_one_user_without_history(**choices) -> dict[str, float]:
    """The length of each parameter's gradient, of eight users."""
    p = plug(**choices)
    query, history, mask = batch(n_users=8, n_items=9)
    mask = mask.clone()
    mask[-1] = False
    out = p(query, history, mask)
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    return {name: float(q.grad.norm()) for name, q in p.named_parameters() if q.grad is not None}


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    "choices",
    [
        *({"pooling": pooling, "soft_tokens": tokens} for pooling in POOLINGS for tokens in (1, 4)),
        {"learn_temperature": True},
        {"instruction_mlp": True},
        {"instruction": False},
    ],
)
def test_one_user_without_history_does_not_take_the_gradient_from_all_others(choices):
    lengths = gradients_of_a_batch_with_one_user_without_history(**choices)
    total = math.sqrt(sum(length**2 for length in lengths.values()))
    assert lengths["no_history"] < 0.6 * total  # on the code before: 0.99999 of it


@pytest.mark.fault(15)
@pytest.mark.parametrize("choices", [{}, {"pooling": "max"}, {"normalise": False}, {"instruction_mlp": True}])
def test_no_trained_part_starts_so_short_that_normalising_would_blow_up_its_gradient(choices):
    p = plug(**choices)
    query, history, mask = batch()
    tokens = [p.user_embedding(query, history, mask), p.user_embedding(query, history, torch.zeros_like(mask))]
    tokens.append(p.instruction(p.instruction_seed) if p.config.instruction_mlp else p.instruction)
    assert all((token.norm(dim=-1) > 0.2).all() for token in tokens)


@pytest.mark.fault(15)
def test_a_large_divisor_leaves_a_normalised_instruction_at_full_length():
    p = plug(instruction_divisor=1e6)
    assert torch.allclose(p(*batch()), plug()(*batch()))


def test_what_stands_for_no_history_is_a_direction_drawn_behind_all_other_weights():
    with_user, without = plug(), plug(user=False)
    assert torch.equal(with_user.no_history, plug().no_history)
    assert 0.3 < float(with_user.no_history.detach().norm()) < 2
    torch.manual_seed(0)
    drawn = [Projector(D, H).state_dict(), torch.nn.Linear(D, D, bias=False), torch.randn(1, H) / math.sqrt(H)]
    assert all(torch.equal(value, drawn[0][name]) for name, value in with_user.projector.state_dict().items())
    assert torch.equal(with_user.instruction, drawn[2])
    names = [name for name, _ in with_user.named_parameters()]
    assert names[0] == "no_history"  # the order in which an optimiser adds up gradients
    assert without.projector is None


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"pooling": "median"}, "attention, mean, last, max"),
        ({"soft_tokens": 0}, "at least 1"),
        ({"pooling": "mean", "top_k": 2}, "attention"),
        ({"user": False, "instruction": False}, "instruction embedding, or both"),
        ({"before": "question"}, "expected one of input, answer, found 'question'"),
        ({"dropout": 1.0, "crowd": True}, "expected a share below 1"),
        ({"dropout": 0.5}, "of a plug with crowd=True"),
        ({"dropout": 0.5, "crowd": True, "user": False}, "and a user embedding"),
    ],
)
def test_impossible_choices_say_what_is_possible(choices, says):
    with pytest.raises(ValueError, match=says):
        config(**choices)


def test_a_trained_input_encoder_needs_its_module():
    with pytest.raises(ValueError, match="backbone"):
        Plug(config(train_input_encoder=True))
