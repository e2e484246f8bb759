"""The whole path of each profile for real models, with small models of the same families in their place."""

import json
from dataclasses import replace

import pytest
from families import save_family

from pplug.__main__ import main
from pplug.config import PROFILES
from pplug.data.loading import load
from pplug.method.encoders import load_encoder
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM
from pplug.offline.simulate import simulate
from pplug.study import experiment
from pplug.study.experiment import get_encoder, task_data

FAMILY = {"laptop": "flan-t5", "gpu": "flan-t5", "paper": "flan-t5", "llama": "llama", "qwen": "qwen"}
TASK = {"laptop": "LaMP-2", "gpu": "LaMP-3", "paper": "LaMP-4", "llama": "LaMP-1", "qwen": "LaMP-5"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folders as `download all` leaves them: the outputs of the test split are withheld."""
    folder = tmp_path_factory.mktemp("time")
    for task in set(TASK.values()):
        own = folder / task.replace("-", "_")
        simulate(own, task, 12, 5)
        (own / "test_outputs.json").unlink(), (own / "factors.json").unlink()
    return folder


@pytest.fixture(scope="module")
def families(data, tmp_path_factory):
    texts = [text for task in TASK.values() for text in load(data / task.replace("-", "_"), task).history_texts()]
    names = {"flan-t5": "flan-t5-xl", "llama": "llama", "qwen": "qwen", "bge": "bge-base-en-v1.5"}
    return {family: save_family(family, tmp_path_factory.mktemp("m") / name, texts) for family, name in names.items()}


@pytest.mark.long
@pytest.mark.parametrize("name", FAMILY)
def test_the_whole_path_of_a_profile(name, data, families, tmp_path, monkeypatch):
    small = {"n_users": 8, "batch_size": 4, "micro_batch": 2, "bootstrap": 40}
    if PROFILES[name].steps:
        small["steps"] = 3
    models = {"llm": families[FAMILY[name]], "encoder": families["bge"], "data": str(data)}
    monkeypatch.setitem(PROFILES, name, replace(PROFILES[name], **small, **models))
    monkeypatch.setenv("PPLUG_PROFILE", name)
    monkeypatch.setattr("pplug.study.records.FOLDER", tmp_path / "results")
    task, folder = TASK[name], data / TASK[name].replace("-", "_")
    main(["encode", task, str(folder), "--encoder", families["bge"]])
    main(["train", task, str(tmp_path / "plug")])
    main(["evaluate", task, "--out", str(tmp_path / "record.json")])
    main(["predict", str(tmp_path / "plug"), str(folder), "--out", str(tmp_path / "test.json")])
    answers = json.loads((tmp_path / "test.json").read_text())
    asked = load(folder, task).splits["test"]["id"]
    assert answers["task"] == task.replace("-", "_") and [gold["id"] for gold in answers["golds"]] == list(asked)
    record = json.loads((tmp_path / "record.json").read_text())
    profile = PROFILES[name]
    told = {field: record["settings"][field] for field in ("llm", "encoder", "batch_size", "beams", "n_soft_tokens")}
    assert told == {field: getattr(profile, field) for field in told}
    trained_on = len(task_data(task, profile).splits["train"])
    assert record["steps"] == (profile.steps or (1 if task == "LaMP-3" else 2) * trained_on // 4)
    assert record["n"] == min(len(task_data(task, profile).splits["dev"]), profile.n_test or 10**6)
    experiment._loaded_llm.cache_clear(), get_encoder.cache_clear()


@pytest.mark.parametrize("family", ["flan-t5", "llama", "qwen"])
def test_families_are_what_their_names_say(family, families):
    llm, tokenizer = load_llm(families[family])
    head, table = llm.get_output_embeddings().weight, llm.get_input_embeddings().weight
    assert head.data_ptr() != table.data_ptr() and not (head == table).all()
    ids = tokenizer("a headline")["input_ids"]
    assert (ids[0] == tokenizer.bos_token_id) == (family == "llama") and (ids[-1] == 1) == (family == "flan-t5")
    assert bool(tokenizer.chat_template) == (family != "flan-t5") and tokenizer.pad_token is not None


def test_the_encoder_pools_its_first_token_and_marks_queries(families):
    encoder = load_encoder(families["bge"])
    assert encoder.module[1].pooling_mode == "cls" and encoder.query_prompt.startswith("Represent this sentence")


@pytest.mark.parametrize("family", ["llama", "qwen"])
def test_a_chat_model_answers_with_its_answer_alone(family, families, tmp_path):
    """A stopped turn ends the answer; nothing of template or prompt is in it."""
    from pplug.method.personalized import build

    llm, tokenizer = load_llm(families[family])
    model = build(llm, tokenizer, load_encoder(families["bge"]), None, {"task": "LaMP-4"}, soft_tokens=1)
    model.save_pretrained(tmp_path)
    text = model.generate("Generate a headline for the following article: a mayor", model.user([]), max_new_tokens=5)
    assert isinstance(model, PersonalizedLM) and "mayor" not in text and "<|" not in text
