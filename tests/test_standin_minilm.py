"""The stand-in with a pretrained encoder."""

from dataclasses import replace

import pytest
import torch

from pplug.data.tasks import MOVIE_TAGS
from pplug.method.batches import collate, prepare_example
from pplug.method.encoders import load_encoder
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import build
from pplug.offline.curriculum import simulated_writers
from pplug.offline.standin_minilm import MINILM
from pplug.offline.standin_training import save_standin, train_standin

pytestmark = pytest.mark.long  # MiniLM is read and saved as half of another model
RECIPE = replace(MINILM, steps=2, tokens_per_batch=300, decoder_layers=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pplug.offline.standin_training.SAMPLE", 100)
        patch.setattr("pplug.offline.standin_training.DRAWN", 50)
        model, tokenizer = train_standin(simulated_writers("LaMP-4", 3, 0, "p"), RECIPE, log=lambda line: None)
    return save_standin(tmp_path_factory.mktemp("minilm"), model, tokenizer, RECIPE, {})


def test_it_loads_as_any_llm_and_a_plug_fits_in_front(folder):
    llm, tokenizer = load_llm(str(folder))
    assert llm.config.is_encoder_decoder and not any(p.requires_grad for p in llm.parameters())
    encoder = load_encoder()
    model = build(llm, tokenizer, encoder, None, {"task": "LaMP-4", "llm": str(folder)})
    vectors = torch.nn.functional.normalize(torch.randn(4, 384), dim=-1).numpy()
    example = prepare_example(model, "a long text " * 400, "five", vectors[:3], vectors[3], "a text")
    loss = model.train()(**collate(model, [example]))["loss"]
    loss.backward()
    assert torch.isfinite(loss) and all(p.grad is not None for p in model.plug.parameters())
    texts = model.eval().generate_batch(collate(model, [example], for_generation=True), max_new_tokens=3, num_beams=2)
    assert len(texts) == 1


def test_labels_survive_writing_and_reading(folder):
    tokenizer = load_llm(str(folder))[1]
    for label in ("[1]", "[2]", "5", *MOVIE_TAGS):
        assert tokenizer.decode(tokenizer(label)["input_ids"], skip_special_tokens=True).strip() == label
