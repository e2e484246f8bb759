"""The release's choices, taken together, compute what the release computes."""

import torch
from test_embedder import batch, plug

from pplug.method.embedder import attention
from pplug.method.release import EMBEDDING_NORM, RELEASE, VISITS


def test_the_releases_choices_are_what_the_release_computes():
    p = plug(**RELEASE | {"train_input_encoder": False, "embedding_norm": EMBEDDING_NORM})
    query, history, mask = batch()
    out = p(query, history, mask)
    instruction = p.instruction(p.instruction_seed) / 7.0 * 539.9738
    user = torch.einsum("bn,bnh->bh", attention(p.input_encoder(query), history, mask), p.projector(history)) * 539.9738
    assert torch.allclose(out, torch.stack([instruction.expand_as(user), user], dim=1), rtol=1e-4, atol=1e-3)
    assert RELEASE["max_history"] == 512 and RELEASE["with_label"] is False and RELEASE["train_input_encoder"]
    assert "embedding_norm" not in RELEASE and VISITS == 11  # the length depends on the LLM
