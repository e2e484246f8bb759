"""What the stand-in is taught: the mix of prompts, and that no question is shown its own answer."""

import random

from pplug.data.loading import load
from pplug.data.tasks import get_task
from pplug.offline.curriculum import Recipe, lamp_writers, pick_items, simulated_writers, training_pair
from pplug.offline.simulate import simulate


def test_the_training_mix_has_every_way_of_telling_about_a_user():
    writers = simulated_writers("LaMP-4", 20, seed=1, prefix="t")
    rng, recipe = random.Random(0), Recipe()
    pairs = [training_pair(rng.choice(writers), rng, recipe, 4) for _ in range(600)]
    told = [p.startswith("This editor") for p, _ in pairs]
    shown = [p.startswith("the headline for") for p, _ in pairs]
    described = [p.startswith("describe the user:") for p, _ in pairs]
    plain = [p.startswith("Generate") for p, _ in pairs]
    assert min(map(sum, (told, shown, described, plain))) > 30
    assert sum(told) + sum(shown) + sum(described) + sum(plain) == 600
    assert all(t.startswith("This editor") for (_, t), d in zip(pairs, described, strict=True) if d)


def test_before_the_curriculum_reaches_items_no_prompt_has_any():
    writers, rng = simulated_writers("LaMP-4", 20, seed=1, prefix="t"), random.Random(0)
    prompts = [training_pair(rng.choice(writers), rng, Recipe(), 0)[0] for _ in range(200)]
    assert not any("the headline for" in p or "describe" in p for p in prompts)


def test_a_text_to_repeat_is_the_input_whatever_stands_before_it():
    writers, rng = simulated_writers("LaMP-4", 20, seed=1, prefix="t"), random.Random(0)
    behind = [training_pair(rng.choice(writers), rng, Recipe(), 4, 1.0, 4) for _ in range(200)]
    assert all(prompt.startswith("repeat: ") and prompt.endswith(f"article: {target}") for prompt, target in behind)
    shown = {prompt.count('the headline for "') for prompt, _ in behind}
    assert shown == {0, 1, 2, 3, 4}


def test_items_in_a_prompt_come_from_before_the_question():
    for writer in simulated_writers("LaMP-3", 5, seed=1, prefix="t"):
        for text, _, n_before in writer.questions:
            asked = text.split("review: ")[1]
            assert writer.items[n_before]["text"] == asked


def test_the_most_similar_item_stands_next_to_the_input():
    task = get_task("LaMP-4")
    items = [{"text": "cats and dogs", "title": "Pets"}, {"text": "a bank merger", "title": "Money"}]
    picked = pick_items(task, "Generate a headline for the following article: the bank plans a merger", items, 2)
    assert [item["title"] for item in picked] == ["Pets", "Money"]
    assert pick_items(task, "Generate a headline for the following article: x", [], 4) == []


def test_writers_from_lamp_files_know_persona_and_history(tmp_path):
    data = load(simulate(tmp_path / "LaMP-4", "LaMP-4", 10, seed=3), "LaMP-4", tmp_path / "cache")
    train, dev = lamp_writers(data), lamp_writers(data, "dev")
    assert len(train) > len(data.splits["train"]) and len(dev) == 10
    assert {w.persona for w in train} == {f["persona"] for f in data.factors.values()}
    assert all(n == len(w.items) for w in train for _, _, n in w.questions)
