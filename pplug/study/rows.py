"""The plug, its controls and its rivals, in groups of rows: each answers one task's test questions, with its costs.

A row that cannot be is yielded as the reason why, in place of a `Row`.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pplug.base import cache_folder, file_hash
from pplug.data import RETRIEVERS, retrieve
from pplug.method import encode_history, examples_hash, prepare
from pplug.rivals import costs, distil, per_user, summary
from pplug.rivals.costs import Cost
from pplug.rivals.inputs import ITEM_IN_FRONT, ITEMS, ITEMS_IN_PROMPT, SHUFFLED, item_in_front, room
from pplug.study.experiment import fit
from pplug.study.experiment import training_examples as train_examples
from pplug.study.names import (
    BM25_1,
    BM25_4,
    EVALUATED,
    INSTRUCTION,
    NONE,
    OTHER,
    PERSONA,
    PLUG,
    SHUFFLED_PLUG,
    items_row,
)
from pplug.study.setting import Row, Setting

ADAPTED_USERS = 40  # users that get parameters of their own, a seeded subset where there are more

CONTROLS = {  # row → the model that answers, and what it is given; what each rules out is said in `controls`
    NONE: lambda s: (s.plain, s.prepared),
    BM25_1: lambda s: (s.plain, s.with_items(s.ranked("BM25"), 1)),
    BM25_4: lambda s: (s.plain, s.with_items(s.ranked("BM25"), 4)),
    INSTRUCTION: lambda s: (s.tuned, s.prepared),
    OTHER: lambda s: (s.plug, s.others_histories()),
    PLUG: lambda s: (s.plug, s.prepared),
    PERSONA: lambda s: (s.plain, s.with_personas()),
}


def controls(s: Setting, only: tuple[str, ...] = EVALUATED) -> dict[str, list[str]]:
    """The answers of the plug and of every control, without their costs.

    - *no personalisation*: the frozen LLM as it is;
    - *BM25, 1 and 4 items*: the same LLM with the user's best items as text, untrained;
    - *instruction embedding only*: trained on the same labels, without a user: what is task tuning, not the user;
    - *another user's history*: the same plug, wrong user: what is the embedding's presence, not its content;
    - *true persona in words*: simulated users only; what there is to gain.

    Args:
        s: The task and its users.
        only: The rows to compute.

    Returns:
        Row → answers, in the order of `names.EVALUATED`.
    """
    rows = [row for row in EVALUATED if row in only and (row != PERSONA or s.data.factors is not None)]
    return {row: s.answers(*CONTROLS[row](s)) for row in rows}


def controls_with_costs(s: Setting) -> Iterator[tuple[str, Row]]:
    """The same rows with their costs; those with items are among `retrieval`."""
    yield NONE, s.row(s.plain, s.prepared, latency=1.0)
    yield INSTRUCTION, s.row(s.tuned, s.prepared, trained=costs.count_trained(s.tuned))
    cost = _plug_cost(s) | {"trained": costs.count_trained(s.plug)}
    yield OTHER, s.row(*CONTROLS[OTHER](s), **cost)
    yield PLUG, s.row(s.plug, s.prepared, **cost)
    if s.data.factors is not None:
        stored = float(np.mean([len(s.persona(example).encode()) for example in s.examples]))
        yield PERSONA, s.row(*CONTROLS[PERSONA](s), stored_bytes=stored)


def plugs(s: Setting) -> Iterator[tuple[str, Row]]:
    """Other plugs: trained on shuffled users, mean pooling, top 4 items, with one item as text in front."""
    cost, width = _plug_cost(s), s.plain.llm.get_input_embeddings().weight.shape[1]
    for name, changed, choices in (
        (SHUFFLED_PLUG, SHUFFLED, {}),
        ("plug, mean pooling", "", {"pooling": "mean"}),
        ("plug, top 4 items", "", {"top_k": 4}),
        ("plug + 1 retrieved item", ITEM_IN_FRONT, {}),
    ):
        model = s.fit(changed, **choices)
        prepared, own = s.prepared, dict(cost)
        if changed == ITEM_IN_FRONT:
            prepared = item_in_front(model, s.data, s.examples, prepared, s.seed)
            own["stored_bytes"] += costs.text_bytes(s.data, s.examples)
        if choices.get("pooling") == "mean":  # needs no more than the embedding itself, in half precision
            own["stored_bytes"] = 2.0 * width * s.profile.n_soft_tokens
        yield name, s.row(model, prepared, **own, trained=costs.count_trained(model))


def retrieval(s: Setting) -> Iterator[tuple[str, Row]]:
    """1 and 4 items in the prompt, each way to find them, the LLM as it is and with a trained instruction embedding."""
    # One vector is trained: on all tasks its dev loss stands still after a tenth of the plug's steps.
    tuned = s.fit(ITEMS_IN_PROMPT, s.profile.steps and s.profile.steps // 3, user=False)
    text, vectors = costs.text_bytes(s.data, s.examples), costs.vector_bytes(s.prepared)
    seconds = costs.encoding_seconds(s.plain.encoder, s.data, s.examples)
    for how in RETRIEVERS:
        is_dense = how == "dense"
        known = {"stored_bytes": text + is_dense * vectors, "new_user_seconds": is_dense * seconds}
        ranked = s.ranked(how)
        for k in ITEMS:
            prepared, name = s.with_items(ranked, k), items_row(how, k)
            yield name, s.row(s.plain, prepared, **known)
            yield f"{name} + instruction", s.row(tuned, prepared, **known, trained=costs.count_trained(tuned))


def distilled(s: Setting) -> Iterator[tuple[str, Row]]:
    """1 and 4 items found by a retriever that was trained from the LLM's feedback."""
    train = train_examples(s.data)
    encode_history(s.plain, s.data)
    retriever = distil.train_retriever(s.plain, s.data, train, prepare(s.plain, s.data, train), s.seed)
    known = {
        "stored_bytes": costs.text_bytes(s.data, s.examples) + costs.vector_bytes(s.prepared),
        "new_user_seconds": costs.encoding_seconds(s.plain.encoder, s.data, s.examples),
        "trained": sum(p.numel() for p in retriever.parameters()),
    }
    asked = distil.with_queries(retriever, s.prepared)
    ranked = list(retrieve("dense", s.data, s.examples, asked))
    for k in ITEMS:
        yield items_row("distilled retriever", k), s.row(s.plain, s.with_items(ranked, k), **known)


def summaries(s: Setting) -> Iterator[tuple[str, Row]]:
    """A summary that the LLM wrote, alone and in front of the most similar item."""
    start = time.perf_counter()
    written = summary.write_summaries(s.plain, s.data, s.examples, **s.options)
    seconds = (time.perf_counter() - start) / len(written)
    stored = float(np.mean([len(text.encode()) for text in written]))
    tokenizer = s.plain.tokenizer
    lead = [tokenizer(text + " " * bool(text), add_special_tokens=False)["input_ids"] for text in written]
    shown = s.with_items(s.ranked("BM25"), 1, [len(ids) for ids in lead])
    for name, prepared, more in (
        ("summary", s.prepared, 0.0),
        ("summary + 1 item", shown, costs.text_bytes(s.data, s.examples)),
    ):
        # A summary that the LLM's positions have no room for is cut, never the input.
        pairs = zip(lead, prepared, strict=True)
        with_summary = [replace(e, input_ids=ids[: room(s.plain, e)] + e.input_ids) for ids, e in pairs]
        yield name, s.row(s.plain, with_summary, stored_bytes=stored + more, new_user_seconds=seconds)


def adapters(s: Setting) -> Iterator[tuple[str, Row | str]]:
    """Parameters of each user's own in the LLM with a trained instruction embedding, for a subset of the users."""
    fitted = fit(s.task, s.profile, s.seed, user=False)
    model, shared = fitted.model, costs.count_trained(fitted.model)
    chosen = adapted_users(s)
    timed = [s.prepared[at] for at in chosen[: costs.TIMED_USERS]]
    # Before anything is installed: both stand on one LLM.
    plain_seconds = costs.seconds_of_one(s.plain, timed, **s.options)
    for method, rate in per_user.METHODS.items():
        name = f"{method} for each user"
        if why := per_user.left_out(model.llm, method):
            yield name, why
            continue
        folder, texts, seconds, size = _adapters_folder(fitted.key, method), [], [], []
        with per_user.installed(model, method, s.seed) as parameters:
            fresh = {name: p.detach().clone() for name, p in parameters.items()}
            for at in chosen:
                own = per_user.prepare_own(model, per_user.own_examples(s.data, s.examples[at]))
                file = folder / f"{at}-{examples_hash(own)[:20]}.safetensors"
                order = int(hashlib.sha256(str(at).encode()).hexdigest()[:8], 16)
                taken = per_user.fit_user(model, parameters, fresh, own, rate, file, order)
                if own:
                    seconds.append(taken)
                texts += s.answers(model, [s.prepared[at]])
                size.append(file.stat().st_size)
            ratio = costs.seconds_of_one(model, timed, **s.options) / plain_seconds
            tokens = costs.prompt_tokens(model, timed) + (method == "soft prompt") * per_user.PROMPT_TOKENS
        numbers = sum(p.numel() for p in fresh.values())
        cost = Cost(
            trained=shared + numbers * len(texts),
            per_user=numbers,
            stored_bytes=float(np.mean(size)),
            new_user_seconds=float(np.mean(seconds)) if seconds else 0.0,
            prompt_tokens=tokens,
            latency=ratio,
        )
        yield name, Row(texts, cost)


def _adapters_folder(plug_key: str, method: str):
    """Where the users' parameters are kept, named by all that decides them but a user's own texts."""
    settings = [per_user.METHODS[method], per_user.EPOCHS, per_user.BATCH, per_user.RANK, per_user.BOTTLENECK]
    parts = [plug_key, method, *settings, per_user.PROMPT_TOKENS, file_hash(per_user.__file__)]
    return cache_folder() / "per_user" / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


def adapted_users(s: Setting) -> list[int]:
    """Positions of the test users that get parameters of their own: drawn once, the same for all seeds and ways."""
    n = len(s.examples)
    return sorted(np.random.default_rng(0).permutation(n)[:ADAPTED_USERS].tolist())


def _plug_cost(s: Setting) -> dict:
    return {
        "stored_bytes": costs.vector_bytes(s.prepared),
        "new_user_seconds": costs.encoding_seconds(s.plain.encoder, s.data, s.examples),
    }
