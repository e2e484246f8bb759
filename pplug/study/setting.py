"""A task's test users with everything that does not depend on the way to personalise, and one way's answers."""

from dataclasses import dataclass, field, replace
from functools import cached_property

from pplug.config import Profile
from pplug.data import Data, prompt_with_persona, retrieve
from pplug.method import (
    Example,
    PersonalizedLM,
    encode_history,
    new_tokens,
    predict,
    prepare,
    swap_histories,
    with_prompts,
)
from pplug.rivals import costs
from pplug.rivals.costs import Cost
from pplug.rivals.inputs import put_in_prompt
from pplug.study.experiment import fit, get_encoder, get_llm, task_data, test_examples


@dataclass(frozen=True)
class Row:
    """One way's answers, what it costs where that was measured, and what else its record says of it."""

    texts: list[str]
    cost: Cost | None = None
    about: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """A task's test users with everything that does not depend on the way to personalise."""

    task: str
    profile: Profile
    seed: int

    @cached_property
    def data(self) -> Data:
        """The task's data."""
        return task_data(self.task, self.profile)

    @cached_property
    def examples(self) -> list[dict]:
        """The questions to evaluate."""
        return test_examples(self.data, self.profile)

    @cached_property
    def plain(self) -> PersonalizedLM:
        """The LLM as it is."""
        llm, tokenizer = get_llm(self.profile.llm, self.profile.sharded)
        facts = {"llm": self.profile.llm, "task": self.task}
        return PersonalizedLM(llm, tokenizer, None, get_encoder(self.profile.encoder), facts)

    @cached_property
    def plug(self) -> PersonalizedLM:
        """The trained plug."""
        return self.fit()

    @cached_property
    def tuned(self) -> PersonalizedLM:
        """The plug without user embedding, trained on the same labels."""
        return self.fit(user=False)

    @cached_property
    def prepared(self) -> list[Example]:
        """The questions, prepared."""
        encode_history(self.plain, self.data)  # the whole table at once, as in `experiment.fit`
        return prepare(self.plain, self.data, self.examples)

    @cached_property
    def options(self) -> dict:
        """For the LLM's `generate`."""
        return {"max_new_tokens": new_tokens(self.data.task, self.plain.tokenizer), "num_beams": self.profile.beams}

    def on(self, data: Data, examples: list[dict]) -> "Setting":
        """The same setting, plugs included, with other questions."""
        other, kept = Setting(self.task, self.profile, self.seed), ("plain", "plug", "tuned")
        known = {name: self.__dict__[name] for name in kept if name in self.__dict__}
        other.__dict__.update(known, data=data, examples=examples)  # in place of what the properties would compute
        return other

    def fit(self, changed: str = "", steps: int | None = None, **choices) -> PersonalizedLM:
        """A trained plug; `steps` are the profile's if None. See `experiment.fit`."""
        profile = replace(self.profile, steps=steps or self.profile.steps)
        return fit(self.task, profile, self.seed, changed, **choices).model

    def ranked(self, how: str) -> list[list[int]]:
        """Each user's items as rows of `data.items`, best first, by one of `retrieval.RETRIEVERS`."""
        return list(retrieve(how, self.data, self.examples, self.prepared, self.seed))

    def with_items(self, ranked: list[list[int]], k: int, kept: list[int] | None = None) -> list[Example]:
        """The questions with the `k` best items as text in front; the question itself is never cut."""
        return put_in_prompt(self.plain, self.data, self.examples, self.prepared, [rows[:k] for rows in ranked], kept)

    def others_histories(self) -> list[Example]:
        """The questions, each with another user's history."""
        return swap_histories(self.prepared, [example["user_id"] for example in self.examples], self.seed)

    def with_personas(self) -> list[Example]:
        """The questions with the true persona of a simulated user in front."""
        told = [prompt_with_persona(self.persona(example), example["input"]) for example in self.examples]
        return with_prompts(self.plain, self.prepared, told)

    def persona(self, example: dict) -> str:
        """The true persona of a simulated user, in words."""
        return self.data.factors[example["user_id"]]["persona"]

    def answers(self, model: PersonalizedLM, prepared: list[Example]) -> list[str]:
        """One answer for each question."""
        return predict(model, prepared, **self.options)

    def row(self, model: PersonalizedLM, prepared: list[Example], **known) -> Row:
        """Answer all questions, and complete the cost by what is measured the same way for all."""
        texts = self.answers(model, prepared)
        known.setdefault("prompt_tokens", costs.prompt_tokens(model, prepared))
        if "latency" not in known:
            known["latency"] = costs.latency(model, prepared, self.plain, self.prepared, **self.options)
        return Row(texts, Cost(**known))
