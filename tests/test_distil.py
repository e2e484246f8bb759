"""The retriever learns from the LLM's likelihoods, and from nothing else."""

import numpy as np
import tiny
import torch

from pplug.data.retrieval import rank_by_vectors
from pplug.method.batches import Example, collate
from pplug.method.personalized import PersonalizedLM
from pplug.rivals.distil import log_likelihoods, train_retriever, with_queries
from pplug.study.rows import distil


def questions(n: int, seed: int) -> tuple[list[dict], list[Example]]:
    examples = [{"id": str(i), "profile": list(range(6))} for i in range(n)]
    return examples, [
        Example([1], [1], tiny.vectors(6, seed + i), tiny.vectors(1, seed + i + 500)[0], "") for i in range(n)
    ]


def test_a_planted_preference_is_found_on_new_questions(monkeypatch):
    flipped = np.array([1, -1, 1, -1, 1, -1, 1, -1])  # the LLM likes items near the query with half its signs flipped

    def feedback(plain, data, examples, prepared, seed):
        places = np.tile(np.arange(6), (len(examples), 1))
        likes = [20 * (e.history.astype(np.float32) @ (flipped * e.query)) for e in prepared]
        return places, np.array(likes, dtype=np.float32)

    monkeypatch.setattr(distil, "_feedback", feedback)
    monkeypatch.setattr(distil, "LEARNING_RATE", 1e-3)
    monkeypatch.setattr(distil, "STEPS", 2500)  # weights have to go from 1 to -1, a learning rate at a time
    retriever = train_retriever(None, None, *questions(300, 0), seed=0)
    _, new = questions(60, 5000)

    def hits(examples: list[Example]) -> float:
        wanted = [int(np.argmax(e.history.astype(np.float32) @ (flipped * e.query))) for e in new]
        found = [rank_by_vectors(e.query, e.history)[0] for e in examples]
        return float(np.mean([a == b for a, b in zip(wanted, found, strict=True)]))

    assert hits(with_queries(retriever, new)) > 0.8 > 0.5 > hits(new)


def test_the_log_likelihood_is_the_targets_own(model):
    plain = PersonalizedLM(model.llm, model.tokenizer)
    examples = tiny.examples(model, 5)
    for example, found in zip(examples, log_likelihoods(plain, examples), strict=True):
        batch = collate(plain, [example])
        with torch.no_grad():
            loss = float(plain(**batch)["loss"])
        assert abs(found + loss * len(example.target_ids)) < 0.05 * abs(found) + 1e-3


def test_histories_too_short_to_choose_from_leave_the_retriever_as_it_is():
    examples, ready = questions(4, 0)
    retriever = train_retriever(None, None, [e | {"profile": [0]} for e in examples], ready, seed=0)
    assert torch.equal(retriever.map.weight, torch.eye(tiny.WIDTH))


def test_each_candidate_is_judged_in_a_prompt_of_its_own(monkeypatch, t5, tmp_path):
    from pplug.data.loading import load
    from pplug.offline.simulate import simulate

    data = load(simulate(tmp_path, "LaMP-4", 3, seed=1), "LaMP-4")
    plain = PersonalizedLM(*t5, facts={"llm": "standin"})
    examples = [e for e in data.splits["train"].to_list() if len(e["profile"]) > 2][:2]
    ready = [tiny.example(plain.tokenizer, e["input"], "three", len(e["profile"]), i) for i, e in enumerate(examples)]
    judged = []
    monkeypatch.setattr(distil, "log_likelihoods", lambda _, given: judged.extend(given) or np.arange(len(given)))
    places, likelihoods = distil._feedback(plain, data, examples, ready, 0)
    assert (places >= 0).sum() == len(judged) and sorted(likelihoods[places >= 0]) == list(range(len(judged)))
    for q, example in enumerate(examples):
        shown = [example["profile"][place] for place in places[q] if place >= 0]
        assert len(set(shown)) == len(shown) == min(distil.CANDIDATES, len(example["profile"]))
