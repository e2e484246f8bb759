"""One budget of tokens: positions, soft tokens, template, input and answer."""

import families
import pytest
import tiny
from chats import NOTHING, PLAIN, QUERY, TEXTS, started, with_template
from hypothesis import given, settings
from hypothesis import strategies as st

from pplug.base.errors import InputError
from pplug.data.tasks import TASKS, build_input
from pplug.method.batches import collate, prepare_example
from pplug.method.budget import fit_input, new_tokens, prompt, prompt_budget
from pplug.method.llm_loading import load_llm
from pplug.method.personalized import PersonalizedLM, build
from pplug.method.prompts import MAX_INPUT, MAX_TARGET, frame
from pplug.offline.standin_training import train_tokenizer


@pytest.fixture(scope="module")
def narrow():
    """A GPT-2 of 200 positions."""
    tokenizer = started()
    return families.make_family("gpt2", tokenizer, n_positions=200), tokenizer


@pytest.mark.fault(30)
def test_prompt_soft_tokens_and_answer_fit_the_positions_together(narrow):
    model = build(*narrow, tiny.MadeUpEncoder(), soft_tokens=20)
    made = [prepare_example(model, "one two " * n, "three " * 300, NOTHING, QUERY, "", answer=40) for n in (1, 300)]
    whole = len(made[1].before_ids) + model.plug.tokens + len(made[1].input_ids)
    assert whole <= 160
    assert len(model.generate_batch(collate(model, made, for_generation=True), max_new_tokens=40)) == 2
    with pytest.raises(InputError, match=r"200 positions: expected a shorter prompt or a smaller max_new_tokens"):
        model.generate_batch(collate(model, made, for_generation=True), max_new_tokens=100)
    trained = [prepare_example(model, "one two " * n, "three " * 300, NOTHING, QUERY, "") for n in (1, 300)]
    assert model(**collate(model, trained))["loss"].isfinite()


@pytest.mark.fault(30)
def test_a_chat_template_and_soft_tokens_are_part_of_the_budget():
    tokenizer = with_template("one two three four " * 8 + PLAIN)
    llm = families.make_family("gpt2", tokenizer, n_positions=300)
    around = frame(tokenizer, False)
    for soft in (1, 40):
        model = build(llm, tokenizer, tiny.MadeUpEncoder(), soft_tokens=soft)
        made = prepare_example(model, "one two " * 300, None, NOTHING, QUERY, "")
        whole = len(made.before_ids) + model.plug.tokens + len(made.input_ids) + MAX_TARGET
        assert whole <= 300 and made.input_ids[-len(around.behind) :] == around.behind
    with pytest.raises(InputError, match="leaves no room for an input"):
        prompt_budget(build(llm, tokenizer, tiny.MadeUpEncoder(), soft_tokens=200))


def test_where_there_is_room_the_papers_limits_hold():
    llm, tokenizer = load_llm("standin")
    plain = PersonalizedLM(llm, tokenizer)
    assert prompt_budget(plain) == MAX_INPUT and prompt_budget(plain, 512) == 512


@pytest.mark.fault(30)
@pytest.mark.parametrize("name", ["LaMP-1", "LaMP-3"])
@settings(max_examples=15)
@given(sizes=st.lists(st.integers(0, 60), min_size=3, max_size=3), most=st.integers(90, 200))
def test_the_slots_are_cut_and_never_the_template(name, sizes, most):
    task, tokenizer = TASKS[name], tiny_tokenizer()
    slots = {slot: "one two " * n for slot, n in zip(task.slots, sizes, strict=False)}
    text = build_input(task, **slots)
    fitted = fit_input(task, text, tokenizer, most)
    empty = build_input(task, **dict.fromkeys(task.slots, ""))
    if len(tokenizer(empty)["input_ids"]) < most:
        assert len(tokenizer(fitted)["input_ids"]) <= most
        assert fitted.endswith(task.template.rpartition("}")[2])
        assert fitted.startswith(task.template.partition("{")[0])
    if len(tokenizer(text)["input_ids"]) <= most:
        assert fitted == text


TOKENIZER = []


def tiny_tokenizer():
    if not TOKENIZER:
        TOKENIZER.append(train_tokenizer(TEXTS, 400))
    return TOKENIZER[0]


@pytest.mark.fault(30)
def test_a_template_behind_a_long_slot_reaches_the_llm():
    task, tokenizer = TASKS["LaMP-1"], tiny_tokenizer()
    text = build_input(task, title="one", reference1="two " * 300, reference2="four")
    model = PersonalizedLM(families.make_family("t5", tokenizer), tokenizer)
    made = prepare_example(model, text, None, NOTHING, QUERY, "one", task)
    assert len(made.input_ids) <= MAX_INPUT
    assert 'four"' in tokenizer.decode(made.input_ids, skip_special_tokens=True).replace(" ", "")


@pytest.mark.fault(30)
def test_items_leave_the_template_behind_an_input_that_is_too_long_alone():
    task, tokenizer = TASKS["LaMP-1"], tiny_tokenizer()
    text = build_input(task, title="one", reference1="two " * 300, reference2="four")
    said = prompt(task, [{"title": "three", "abstract": "x"}], text, tokenizer, 150)
    assert said.endswith('"four"') and len(tokenizer(said)["input_ids"]) <= 150


@pytest.mark.fault(30)
def test_an_answer_may_be_as_long_as_the_longest_label_under_this_tokenizer():
    tokenizer = tiny_tokenizer()  # it has few pieces, so that tags are long
    task = TASKS["LaMP-2"]
    longest = max(len(tokenizer(label, add_special_tokens=False)["input_ids"]) for label in task.labels)
    assert longest > task.max_new_tokens and new_tokens(task, tokenizer) == longest + 1
    assert new_tokens(TASKS["LaMP-4"], tokenizer) == TASKS["LaMP-4"].max_new_tokens


def test_the_stand_ins_answers_are_as_long_as_they_were():
    tokenizer = load_llm("standin")[1]
    assert {new_tokens(task, tokenizer) for task in TASKS.values()} == {10, 40}
