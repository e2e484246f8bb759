"""The plug and its rivals, in groups of rows: each group answers one task's test questions and says what it costs."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from pplug.base.files import cache_folder, file_hash
from pplug.config import Profile
from pplug.data.loading import Data
from pplug.data.retrieval import RETRIEVERS, retrieve
from pplug.data.tasks import prompt_with_persona
from pplug.method.batches import Example, prepare
from pplug.method.evaluate import predict, swap_histories
from pplug.method.model import PersonalizedLM
from pplug.method.prompts import with_prompts
from pplug.rivals import costs, distil, per_user, summary
from pplug.rivals.costs import Cost
from pplug.rivals.variants import ITEM_IN_FRONT, ITEMS, ITEMS_IN_PROMPT, SHUFFLED, item_in_front, put_in_prompt
from pplug.study.controls import INSTRUCTION, NONE, OTHER, PERSONA, PLUG
from pplug.study.experiment import fit, get_encoder, get_llm, llm_fingerprint, task_data, test_examples
from pplug.study.experiment import training_examples as train_examples

ADAPTED_USERS = 40  # users that get parameters of their own, a seeded subset where there are more


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
        facts = {"llm": self.profile.llm, "task": self.task}
        return PersonalizedLM(*get_llm(self.profile.llm), None, get_encoder(self.profile.encoder), facts)

    @cached_property
    def prepared(self) -> list[Example]:
        """The questions, prepared."""
        return prepare(self.plain, self.data, self.examples)

    @cached_property
    def options(self) -> dict:
        """For the LLM's `generate`."""
        return {"max_new_tokens": self.data.task.max_new_tokens, "num_beams": self.profile.beams}

    def on(self, data: Data, examples: list[dict]) -> "Setting":
        """The same setting with other questions."""
        other = Setting(self.task, self.profile, self.seed)
        other.__dict__.update(data=data, examples=examples)  # in place of what the properties would compute
        return other

    def fit(self, variant: str = "", steps: int | None = None, **choices) -> PersonalizedLM:
        """A trained plug; `steps` are the profile's if None."""
        profile = replace(self.profile, steps=steps or self.profile.steps)
        return fit(self.task, profile, self.seed, variant, **choices).model

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


def controls(s: Setting) -> Iterator[tuple[str, Row]]:
    """No personalisation, instruction only, another user's history, the plug, the persona in words."""
    yield NONE, s.row(s.plain, s.prepared, latency=1.0)
    tuned = s.fit(user=False)
    yield INSTRUCTION, s.row(tuned, s.prepared, trained=costs.trained_parameters(tuned))
    plug, cost = s.fit(), _plug_cost(s)
    users = [example["user_id"] for example in s.examples]
    cost["trained"] = costs.trained_parameters(plug)
    yield OTHER, s.row(plug, swap_histories(s.prepared, users, s.seed), **cost)
    yield PLUG, s.row(plug, s.prepared, **cost)
    if s.data.factors is not None:
        personas = [s.data.factors[user]["persona"] for user in users]
        told = [prompt_with_persona(p, e["input"]) for p, e in zip(personas, s.examples, strict=True)]
        stored = float(np.mean([len(persona.encode()) for persona in personas]))
        yield PERSONA, s.row(s.plain, with_prompts(s.plain, s.prepared, told), stored_bytes=stored)


def plugs(s: Setting) -> Iterator[tuple[str, Row]]:
    """Other plugs: trained on shuffled users, mean pooling, top 4 items, with one item as text in front."""
    cost, width = _plug_cost(s), s.plain.llm.get_input_embeddings().weight.shape[1]
    for name, variant, choices in (
        ("plug, trained on shuffled users", SHUFFLED, {}),
        ("plug, mean pooling", "", {"pooling": "mean"}),
        ("plug, top 4 items", "", {"top_k": 4}),
        ("plug + 1 retrieved item", ITEM_IN_FRONT, {}),
    ):
        model = s.fit(variant, **choices)
        prepared, own = s.prepared, dict(cost)
        if variant == ITEM_IN_FRONT:
            prepared = item_in_front(model, s.data, s.examples, prepared, s.seed)
            own["stored_bytes"] += costs.text_bytes(s.data, s.examples)
        if choices.get("pooling") == "mean":  # needs no more than the embedding itself, in half precision
            own["stored_bytes"] = 2.0 * width * s.profile.n_soft_tokens
        yield name, s.row(model, prepared, **own, trained=costs.trained_parameters(model))


def retrieval(s: Setting) -> Iterator[tuple[str, Row]]:
    """1 and 4 items in the prompt, each way to find them, the LLM as it is and with a trained instruction embedding."""
    # One vector is trained: on all tasks its dev loss stands still after a tenth of the plug's steps.
    tuned = s.fit(ITEMS_IN_PROMPT, s.profile.steps and s.profile.steps // 3, user=False)
    text, vectors = costs.text_bytes(s.data, s.examples), costs.vector_bytes(s.prepared)
    seconds = costs.encoding_seconds(s.plain.encoder, s.data, s.examples)
    for how in RETRIEVERS:
        is_dense = how == "dense"
        known = {"stored_bytes": text + is_dense * vectors, "new_user_seconds": is_dense * seconds}
        ranked = list(retrieve(how, s.data, s.examples, s.prepared, s.seed))
        for k in ITEMS:
            prepared = put_in_prompt(s.plain, s.data, s.examples, s.prepared, [best[:k] for best in ranked])
            name = f"{how}, {k} item{'s' * (k > 1)}"
            yield name, s.row(s.plain, prepared, **known)
            yield f"{name} + instruction", s.row(tuned, prepared, **known, trained=costs.trained_parameters(tuned))


def distilled(s: Setting) -> Iterator[tuple[str, Row]]:
    """1 and 4 items found by a retriever that was trained from the LLM's feedback."""
    train = train_examples(s.data)
    retriever = distil.train_retriever(s.plain, s.data, train, prepare(s.plain, s.data, train), s.seed)
    known = {
        "stored_bytes": costs.text_bytes(s.data, s.examples) + costs.vector_bytes(s.prepared),
        "new_user_seconds": costs.encoding_seconds(s.plain.encoder, s.data, s.examples),
        "trained": sum(p.numel() for p in retriever.parameters()),
    }
    asked = distil.with_queries(retriever, s.prepared)
    ranked = list(retrieve("dense", s.data, s.examples, asked))
    for k in ITEMS:
        prepared = put_in_prompt(s.plain, s.data, s.examples, s.prepared, [best[:k] for best in ranked])
        yield f"distilled retriever, {k} item{'s' * (k > 1)}", s.row(s.plain, prepared, **known)


def summaries(s: Setting) -> Iterator[tuple[str, Row]]:
    """A summary that the LLM wrote, alone and in front of the most similar item."""
    start = time.perf_counter()
    written = summary.write_summaries(s.plain, s.data, s.examples, **s.options)
    seconds = (time.perf_counter() - start) / len(written)
    stored = float(np.mean([len(text.encode()) for text in written]))
    ranked = retrieve("BM25", s.data, s.examples, s.prepared)
    shown = put_in_prompt(s.plain, s.data, s.examples, s.prepared, [best[:1] for best in ranked])
    tokenizer = s.plain.tokenizer
    lead = [tokenizer(text + " " * bool(text), add_special_tokens=False)["input_ids"] for text in written]
    for name, prepared, more in (
        ("summary", s.prepared, 0.0),
        ("summary + 1 item", shown, costs.text_bytes(s.data, s.examples)),
    ):
        told = [replace(e, input_ids=ids + e.input_ids) for ids, e in zip(lead, prepared, strict=True)]
        yield name, s.row(s.plain, told, stored_bytes=stored + more, new_user_seconds=seconds)


def adapters(s: Setting) -> Iterator[tuple[str, Row]]:
    """Parameters of each user's own in the LLM with a trained instruction embedding, for a subset of the users."""
    model = s.fit(user=False)
    shared = costs.trained_parameters(model)
    key = [s.data.hash, llm_fingerprint(s.profile.llm), s.profile.steps, file_hash(per_user.__file__), s.seed]
    folder = cache_folder() / "per_user" / "-".join(str(part)[:12] for part in key) / s.task
    for method, rate in per_user.METHODS.items():
        texts, seconds, size, ratio = [], [], [], []
        with per_user.installed(model, method, s.seed) as parameters:
            fresh = {name: p.detach().clone() for name, p in parameters.items()}
            numbers = sum(p.numel() for p in parameters.values())
            for at in adapted_users(s):
                file = folder / method.replace(" ", "-") / f"{at}.safetensors"
                own = per_user.prepare_own(model, per_user.own_examples(s.data, s.examples[at]))
                taken = per_user.fit_user(model, parameters, fresh, own, rate, file)
                if own:
                    seconds.append(taken)
                texts += predict(model, [s.prepared[at]], **s.options)
                size.append(file.stat().st_size)
            at = adapted_users(s)[: costs.TIMED_USERS]
            timed = [s.prepared[i] for i in at]
            ratio = costs.latency(model, timed, s.plain, timed, **s.options)
            tokens = costs.prompt_tokens(model, timed) + (method == "soft prompt") * per_user.PROMPT_TOKENS
        cost = Cost(
            trained=shared + numbers * len(texts),
            per_user=numbers,
            stored_bytes=float(np.mean(size)),
            new_user_seconds=float(np.mean(seconds)) if seconds else 0.0,
            prompt_tokens=tokens,
            latency=ratio,
        )
        yield f"{method} for each user", Row(texts, cost)


def adapted_users(s: Setting) -> list[int]:
    """Positions of the test users that get parameters of their own: drawn once, the same for all seeds and ways."""
    n = len(s.examples)
    return sorted(np.random.default_rng(0).permutation(n)[:ADAPTED_USERS].tolist())


def _plug_cost(s: Setting) -> dict:
    return {
        "stored_bytes": costs.vector_bytes(s.prepared),
        "new_user_seconds": costs.encoding_seconds(s.plain.encoder, s.data, s.examples),
    }
