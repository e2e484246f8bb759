"""What many users cost is reckoned from what one user's bytes and one adapter's numbers really are."""

import numpy as np
import pytest
import torch

from pplug.config import LAPTOP, LLAMA, PAPER
from pplug.method.plug_config import PlugConfig
from pplug.method.user import User
from pplug.study.plan_users import RANK, lora_parameters, many_users
from pplug.study.shapes import count, make_model


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft still asks for it
@pytest.mark.parametrize(
    "name, field, layers",
    [
        ("google/flan-t5-small", "num_layers", 8),
        ("meta-llama/Llama-3.1-8B-Instruct", "num_hidden_layers", 32),
        ("Qwen/Qwen2.5-7B-Instruct", "num_hidden_layers", 28),
    ],
)
def test_an_adapter_has_as_many_numbers_as_peft_gives_it(name, field, layers):
    from peft import LoraConfig, get_peft_model

    targets = ["q", "v"] if "t5" in name else ["q_proj", "v_proj"]
    with torch.device("meta"):
        model = get_peft_model(make_model(name, **{field: 2}), LoraConfig(r=RANK, target_modules=targets))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert lora_parameters(name) == trained * layers // 2


@pytest.mark.parametrize("profile", [LAPTOP, PAPER])
def test_a_users_bytes_are_those_of_the_store(profile):
    widths = {"encoder": count(profile.encoder)["width"], "llm": count(profile.llm)["width"]}
    kept = PlugConfig(widths["encoder"], widths["llm"], 1.0).features_width
    keys, made_for = np.zeros((100, 16), dtype=np.uint8), {"task": "", "encoder": "", "plug": ""}
    vectors = np.zeros((100, widths["encoder"]), dtype=np.float16)
    ready = User(made_for, keys, vectors, torch.zeros(100, kept))
    mean = User(made_for, keys, None, None, torch.zeros(kept))
    found = many_users(1, profile)
    assert len(ready.to_bytes()) == pytest.approx(found["ready"], rel=0.01)
    assert len(mean.to_bytes()) == pytest.approx(found["mean"], abs=600)  # the file's head


def test_costs_grow_with_users_and_items():
    one, many, long = many_users(1_000, LLAMA), many_users(100_000, LLAMA), many_users(1_000, LLAMA, items=300)
    assert many == pytest.approx({what: value * (100 if what != "train" else 1) for what, value in one.items()})
    grown = {what for what, value in one.items() if long[what] == pytest.approx(3 * value)}
    assert grown == set(one) - {"train", "lora", "mean"} and long["lora"] == one["lora"]
    assert one["refresh"] < one["encode"] < one["lora_train"]
