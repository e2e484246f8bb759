"""The benchmarks measure what they say: the baselines compute the same thing, only as the release does."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from benchmarks import encoding, goals, released, run, scale, shapes, sizes, timing, where
from pplug.method import store
from pplug.method.batches import collate
from pplug.method.encoders import encode_texts, load_encoder
from pplug.method.personalized import build
from pplug.method.training import train


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(device="cpu")


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(run.__file__).parent.glob("[a-z]*.py")))
def test_every_benchmark_imports(name):
    """Most are imported only when they run, hours after a name has moved."""
    importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize(
    "goal, value, missed",
    [
        ("≥ 8", 7.9, " missed"),
        ("≥ 8", 8.0, ""),
        ("≤ 1/8", 0.13, " missed"),
        ("< 1", 1.0, " missed"),
        ("plug only", 9, ""),
    ],
)
def test_a_missed_target_is_said(goal, value, missed):
    assert goals.missed({"goal": goal, "value": value}) == missed


def test_lengths_are_lamps():
    made = shapes.lamp_examples(2000, 2, 100)
    for field, (mean, deviation) in (("input_ids", shapes.INPUT), ("target_ids", shapes.OUTPUT)):
        lengths = np.array([len(getattr(example, field)) for example in made])
        assert lengths.mean() == pytest.approx(mean, rel=0.05) and lengths.std() == pytest.approx(deviation, rel=0.15)
    items = np.array([len(example.history) for example in made])
    assert items.max() == shapes.MAX_ITEMS and 150 < items.mean() < 205  # LaMP's mean is 205 before the cut at 512
    norms = np.linalg.norm(made[0].history.astype(np.float32), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-3)


def test_alternate_times_each_in_turn_after_a_warm_up():
    calls = []
    seconds = timing.alternate({name: lambda name=name: calls.append(name) for name in "ab"}, repeats=3)
    assert "".join(calls) == "ab" + "ab" * 3 and set(seconds) == {"a", "b"} and min(seconds.values()) > 0


def test_the_released_projection_of_every_slot_equals_ours(t5):
    """Same weights: each of the 512 slots through both layers and then summed, against items alone and pooled first."""
    torch.manual_seed(0)
    model = build(*t5, tiny.MadeUpEncoder(), soft_tokens=1)
    examples = [example for example in tiny.examples(model) if len(example.history)]
    batch = collate(model, examples)
    table, mask = released.user_table(examples, tiny.WIDTH)
    theirs = released.ReleasedPlug(tiny.WIDTH, model.plug.config.llm_width, torch.nn.Identity())
    theirs.projector[0], theirs.projector[2] = model.plug.projector.hidden, model.plug.projector.out
    x = model.plug.input_encoder(batch["query"])
    with torch.no_grad():
        user = theirs({"sentence_embedding": x}, table, mask)[:, 1]
        ours = model.plug.user_embedding(batch["query"], batch["history"], batch["history_mask"])[:, 0]
    assert torch.allclose(user, ours, atol=1e-4)


def test_a_released_step_trains(t5):
    torch.manual_seed(0)
    model = build(*t5, tiny.MadeUpEncoder())
    examples = tiny.examples(model, 4)
    plug = released.ReleasedPlug(tiny.WIDTH, model.plug.config.llm_width, torch.nn.Linear(1, 1))
    plug.input_encoder.forward = lambda features: {"sentence_embedding": features}
    optimizer = torch.optim.AdamW(plug.parameters(), lr=1e-2)
    table, mask = released.user_table(examples, tiny.WIDTH)
    mask[:, 0] = True  # the release has no answer to an empty history
    query = torch.from_numpy(np.stack([example.query for example in examples])).float()
    losses = [released.step(model.llm, plug, optimizer, examples, query, table, mask) for _ in range(8)]
    assert losses[-1] < losses[0]


def test_padding_to_fixed_slots_does_not_change_the_loss(t5):
    """What the release computes for nothing is nothing: the same loss from 266 and 128 slots as from our batch."""
    model = build(*t5, tiny.MadeUpEncoder())
    batch = collate(model, tiny.examples(model, 4))
    slots = {"input_ids": released.INPUT_SLOTS, "attention_mask": released.INPUT_SLOTS, "labels": released.TARGET_SLOTS}
    padded = {
        name: torch.nn.functional.pad(batch[name], (0, n - batch[name].shape[1]), value=-100 if name == "labels" else 0)
        for name, n in slots.items()
    }
    with torch.no_grad():
        assert torch.allclose(model(**batch)["loss"], model(**batch | padded)["loss"], atol=1e-5)


def test_file_order_and_ours_encode_alike(encoder):
    texts = [f"a text of {'many ' * (i % 7)}words, number {i}" for i in range(40)]
    plain, ours = released.encode_in_file_order(encoder.module, texts), encode_texts(encoder, texts, progress=False)
    assert (plain * ours).sum(axis=1).min() > 0.999
    users = [encoding._user_vectors(v, 10) for v in (plain, ours)]
    assert len(users[0]) == 4 and (users[0] * users[1]).sum(axis=1).min() > 0.999


def test_a_text_takes_as_many_bytes_of_the_store_as_is_said(tmp_path, encoder):
    store.add(tmp_path, np.array([b"1", b"2", b"3"], dtype="S16"), np.zeros((3, encoder.width), np.float16))
    (shard,) = tmp_path.iterdir()
    header = shard.stat().st_size - 3 * encoding.row_bytes(encoder.width)
    assert 0 < header <= 192


def test_bfloat16_and_single_precision_train_alike(t5, monkeypatch):
    curves = []
    for has in (False, True):
        monkeypatch.setattr("pplug.method.training.has_bfloat16", lambda device, has=has: has)
        torch.manual_seed(0)
        model = build(*t5, tiny.MadeUpEncoder())
        curves.append([row["loss"] for row in train(model, tiny.examples(model), [], 10, 4, seed=0)])
    np.testing.assert_allclose(*curves, rtol=0.02)


def test_the_parts_of_a_step_are_all_there_and_only_the_plug_changes(t5):
    model = build(*t5, tiny.MadeUpEncoder())
    before = tiny.weight_hash(model.llm), tiny.weight_hash(model.plug)
    parts = where.parts_of_a_step(model, tiny.examples(model), 4, steps=3)
    assert tuple(parts) == where.PARTS and all(part["seconds"] > 0 for part in parts.values())
    assert parts["LLM forward"]["flops"] > 0 and parts["projector"]["flops"] > 0 and parts["data"]["flops"] == 0
    assert tiny.weight_hash(model.llm) == before[0] and tiny.weight_hash(model.plug) != before[1]


def test_the_projectors_work_is_what_pytorch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    from pplug.method.embedder import Projector

    D, H, N = 6, 10, 20
    projector, items = Projector(D, H), torch.randn(N, D)
    with FlopCounterMode(display=False) as each:
        projector(items)
    with FlopCounterMode(display=False) as pooled:
        projector.out(projector.features(items).mean(0))
    assert (pooled.get_total_flops(), each.get_total_flops()) == tuple(2 * n for n in sizes.projector_work(D, H, N))


def test_importing_the_package_loads_no_heavy_library():
    import subprocess
    import sys

    code = "import sys, pplug; print([m for m in ('torch', 'transformers', 'datasets', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_scale_encodes_each_text_once_and_adds_up(tmp_path, encoder, monkeypatch):
    monkeypatch.setattr(scale, "ITEMS", 10)
    monkeypatch.setattr(scale, "fit_umap", lambda means, seed: None)
    small, large = scale.run(tmp_path, (5, 8))
    assert (small["users"], large["users"]) == (5, 8) and small["distinct_texts"] < large["distinct_texts"] <= 80
    assert all(large["seconds"][part] > small["seconds"][part] for part in ("simulate", "encode"))


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(SystemExit, match="no benchmark is called 'speed'"):
        run.main(["speed"])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("google/flan-t5-xl", {"d_model": 32, "d_ff": 32, "d_kv": 8, "num_layers": 1, "num_heads": 2}),
        (
            "meta-llama/Llama-3.1-8B-Instruct",
            {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
             "num_key_value_heads": 1},
        ),
    ],
)  # fmt: skip
def test_the_gpu_benchmark_measures_small_models_of_the_same_kinds(tmp_path, monkeypatch, name, changes):
    from benchmarks import gpu

    for constant, value in {"STEPS": 1, "WARM": 1, "NEW_TOKENS": 2, "ANSWERED": 2}.items():
        monkeypatch.setattr(gpu, constant, value)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    encoder = gpu.shaped_encoder(tmp_path / "bge-base-en", **small)
    assert encoder.query_prompt and encoder.width == 32
    row = gpu.encoding(encoder, 1e12, texts=300)
    assert row["texts/s"] > 0 and row["tokens a text"] > 30
    row = gpu.llm_row(name, gpu.shaped_llm(name, "cpu", vocab_size=1000, **changes), encoder, 2, 1e12, batch=4)
    assert row["examples/s"] > 0 and row["tokens/s with plug"] > 0 and row["tokens/s without"] > 0


def test_without_a_gpu_its_benchmark_says_so(monkeypatch):
    from benchmarks import gpu

    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU here"):
        gpu.main()
