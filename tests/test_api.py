"""What `from pplug import ...` gives: the calls of the README, each once, and what they promise."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import replies
import tiny
import torch
from replies import TASK, items

import pplug
from pplug.base.errors import InputError
from pplug.data.tasks import TASKS
from pplug.method.answering import questions
from pplug.method.batches import collate
from pplug.method.embedder import Plug
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ["Reply to: one two three four", "Reply to: two", "Reply to: generate a headline", "Reply to: "]
HISTORIES = ["abc", "", "abcdefgh", "d"]


@pytest.fixture(scope="module", params=["t5", "qwen", "llama with a chat template"])
def any_llm(request, tmp_path_factory):
    kind, chat = request.param.split()[0], "chat" in request.param
    return load_llm(str(tiny.save_llm(kind, tmp_path_factory.mktemp(kind), chat=chat)))


@pytest.fixture
def model(any_llm, monkeypatch):
    replies.patch_encoder(monkeypatch)
    return replies.make_model(any_llm, soft_tokens=2)


def imported(code: str) -> set[str]:
    """The modules that are loaded after some code has run in a process of its own."""
    code += "\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "transformers", "datasets", "sklearn", "sentence_transformers", "peft", "umap", "matplotlib", "numpy"}


def test_the_import_takes_nothing_heavy_with_it():
    assert not HEAVY & imported("import pplug; dir(pplug); pplug.__version__")
    heavier = HEAVY - {"numpy"}  # which scores need
    assert not heavier & imported("from pplug import Task; Task('a', '{b}', ('c',))")
    assert not heavier & imported(
        "from pplug.__main__ import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    )


def test_all_that_is_public_is_there_and_nothing_else():
    assert set(pplug.__all__) == {*pplug.HOMES, "__version__"} and set(pplug.__all__) <= set(dir(pplug))
    for name in pplug.HOMES:
        assert getattr(pplug, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pplug.nothing  # noqa: B018
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert told.get("version", pplug.__version__) == pplug.__version__
    assert (Path(pplug.__file__).parent / "py.typed").exists()


def test_the_readmes_calls_run():
    """With the LLM and the encoder that ship: the defaults."""
    model = pplug.PersonalizedLM.create(TASK, soft_tokens=4)
    ann, bob = model.user(items("lunch", "dinner")), model.user([])
    assert isinstance(model.generate("Reply to: tea?", ann), str)
    both = model.generate(["Reply to: tea?", "Reply to: cake and tea?"], [ann, bob])
    assert [type(text) for text in both] == [str, str]
    assert model.soft_prompt("Reply to: tea?", ann).shape == (5, model.plug.config.llm_width)
    assert model.weights("Reply to: tea?", ann).sum() == pytest.approx(1)
    assert model.task is not TASK and model.task == TASK


# Making one


def test_a_seed_decides_the_initial_weights_and_the_callers_random_state_stays(t5):
    state = torch.get_rng_state()
    one, two, other = (tiny.weight_hash(replies.make_model(t5, seed=seed).plug) for seed in (0, 0, 1))
    assert one == two != other and torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(0)
    assert tiny.weight_hash(Plug(replies.make_model(t5).plug.config)) == one


def test_a_loaded_llm_is_shared_and_frozen(t5):
    llm, tokenizer = t5
    llm.requires_grad_(True).train()
    one, two = (replies.make_model((llm, tokenizer), task) for task in (TASK, "LaMP-4"))
    assert one.llm is two.llm is llm and not llm.training
    assert not any(parameter.requires_grad for parameter in llm.parameters())
    assert one.facts["task"] == TASK.to_json() and two.facts["task"] == "LaMP-4" and two.task is TASKS["LaMP-4"]
    assert one.facts["llm"] == llm.name_or_path and one.facts["encoder"] == "made-up"


def test_what_cannot_be_made_is_said(t5):
    with pytest.raises(InputError, match="tokenizer="):
        PersonalizedLM.create(TASK, t5[0], encoder=tiny.MadeUpEncoder())
    with pytest.raises(InputError, match="unknown task 'nothing'"):
        replies.make_model(t5, "nothing")
    with pytest.raises(InputError, match="pooling"):
        replies.make_model(t5, pooling="middle")
    with pytest.raises(InputError, match=r"PersonalizedLM\.create"):
        PersonalizedLM(*t5).task  # noqa: B018


# Answering


@pytest.mark.parametrize("choices", [{}, {"pooling": "mean"}, {"top_k": 2}, {"user": False}], ids=str)
def test_a_batch_equals_one_by_one(any_llm, monkeypatch, choices):
    replies.patch_encoder(monkeypatch)
    model = replies.make_model(any_llm, **choices)
    users = [model.user(items(*history)) for history in HISTORIES]
    alone = [model.generate(text, user, max_new_tokens=4) for text, user in zip(TEXTS, users, strict=True)]
    for batch_size in (3, 4):
        assert model.generate(TEXTS, users, batch_size=batch_size, max_new_tokens=4) == alone
    for_one = [model.generate(text, users[0], max_new_tokens=4) for text in TEXTS[:2]]
    assert model.generate(TEXTS[:2], users[0], max_new_tokens=4) == for_one


def test_one_text_gives_a_text_and_a_list_a_list(model):
    user = model.user(items("a"))
    assert isinstance(model.generate(TEXTS[0], user, max_new_tokens=2), str)
    assert [type(text) for text in model.generate(TEXTS[:1], user, max_new_tokens=2)] == [str]
    assert model.generate([], user) == [] == model.generate([], [])


def test_what_does_not_fit_together_is_said(model):
    user = model.user(items("a"))
    for texts, users in ((TEXTS, [user]), (TEXTS[0], [user, user]), (TEXTS[:1], [])):
        with pytest.raises(InputError, match="as many users as texts"):
            model.generate(texts, users)
    for nobody in (items("a"), {"message": "a"}, None, "ann"):
        with pytest.raises(InputError, match=r"users|model\.user\(history\)"):
            model.generate(TEXTS[0], nobody)
    with pytest.raises(InputError, match="does not follow replies's template"):
        model.generate("Write me a poem", user)
    with pytest.raises(InputError, match="expected a text"):
        model.generate([TEXTS[0], None], user)


def test_an_answer_may_be_as_long_as_the_task_says(model, monkeypatch):
    given = []
    monkeypatch.setattr(model, "generate_batch", lambda batch, **options: given.append(options) or ["x"])
    model.generate(TEXTS[0], model.user([]))
    model.generate(TEXTS[0], model.user([]), max_new_tokens=7, num_beams=2)
    assert given == [{"max_new_tokens": 40}, {"max_new_tokens": 7, "num_beams": 2}]


def test_a_streamer_is_given_the_words_as_they_come(model):
    from transformers import TextStreamer

    class Listener(TextStreamer):
        heard = ""

        def on_finalized_text(self, text, stream_end=False):
            self.heard += text

    user, listener = model.user(items("a")), Listener(model.tokenizer, skip_special_tokens=True)
    answer = model.generate(TEXTS[0], user, streamer=listener, max_new_tokens=4)
    assert listener.heard.strip() == answer == model.generate(TEXTS[0], user, max_new_tokens=4)
    with pytest.raises(InputError, match="one text at a time"):
        model.generate(TEXTS, user, streamer=listener)


# Looking at what the LLM is given


def test_what_is_shown_is_what_the_llm_is_given(model):
    user = model.user(items(*"abc"))
    batch = collate(model, questions(model, TEXTS[:1], [user]), for_generation=True)
    with torch.no_grad():
        joined, mask = model.join(**batch)
    embeds = model.prompt_embeds(TEXTS[0], user)
    assert torch.equal(embeds, joined[0][mask[0].bool()]) and embeds.dtype == torch.float32
    soft, front = model.soft_prompt(TEXTS[0], user), batch.get("before_ids", batch["input_ids"][:, :0]).shape[1]
    assert torch.allclose(embeds[front : front + model.plug.tokens], soft, atol=1e-6)
    assert soft.shape == (3, model.plug.config.llm_width)
    words = model.llm.get_input_embeddings()(batch["input_ids"])[0]
    assert torch.equal(embeds[front + model.plug.tokens :], words)


def test_an_engine_that_takes_embeddings_gives_the_same_answer(model):
    user = model.user(items(*"abc"))
    ids = model.llm.generate(
        inputs_embeds=model.prompt_embeds(TEXTS[0], user)[None],
        attention_mask=torch.ones(1, len(model.prompt_embeds(TEXTS[0], user)), dtype=torch.long),
        max_new_tokens=5,
        do_sample=False,
        pad_token_id=model.tokenizer.pad_token_id,
    )
    [text] = model.tokenizer.batch_decode(ids, skip_special_tokens=True)
    assert text.strip() == model.generate(TEXTS[0], user, max_new_tokens=5)


def test_weights_are_equation_3(any_llm, monkeypatch):
    replies.patch_encoder(monkeypatch)
    model = replies.make_model(any_llm)
    user = model.user(items(*"abcd"))
    x = replies.encode_texts(model.encoder, ["two"], is_query=True).astype("float16").astype("float32")[0]
    h = torch.from_numpy(user.vectors.astype("float32"))
    x = torch.nn.functional.normalize(torch.from_numpy(x), dim=-1)
    assert torch.allclose(model.weights(TEXTS[1], user), torch.softmax(h @ x, dim=0), atol=1e-5)
    assert model.weights(TEXTS[1], model.user([])).shape == (0,)
    even = replies.make_model(any_llm, pooling="mean")
    assert even.weights(TEXTS[1], even.user(items(*"abcd"))).tolist() == [0.25] * 4
    with pytest.raises(InputError, match="no user embedding"):
        nobody = replies.make_model(any_llm, user=False)
        nobody.weights(TEXTS[1], nobody.user([]))


def test_a_question_is_encoded_only_where_the_plug_reads_it(any_llm, monkeypatch):
    replies.patch_encoder(monkeypatch)
    asked = []
    monkeypatch.setattr(
        "pplug.method.answering.encode_texts", lambda e, t, **o: asked.append(t) or replies.encode_texts(e, t)
    )
    for choices, expected in (({}, [["two"]]), ({"pooling": "mean"}, []), ({"user": False}, [])):
        asked.clear()
        model = replies.make_model(any_llm, **choices)
        model.generate(TEXTS[1], model.user(items("a")), max_new_tokens=1)
        assert asked == expected
