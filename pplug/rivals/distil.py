"""A retriever trained from the LLM's feedback: which item, shown as text, makes the right answer more likely?

The LLM's log-likelihoods of the target, one for each of a few candidate items in the prompt, become a distribution over
these items; a linear map on the frozen query vectors learns to rank as that distribution does, by its KL divergence.
(The idea of LaMP's ROPG-KD, whose retriever is trained as a whole.)
"""

from dataclasses import replace

import numpy as np
import torch

from pplug.base import has_bfloat16
from pplug.data import Data, retrieve
from pplug.method import Example, InputEncoder, PersonalizedLM, collate
from pplug.rivals.inputs import put_in_prompt

CANDIDATES, QUESTIONS = 8, 600  # items that the LLM judges for a question, and questions
STEPS, BATCH = 400, 64
LEARNING_RATE = 3e-4  # chosen by the LLM's loss on two tasks' dev questions with the retrieved item in the prompt
TEMPERATURE = 0.05  # of the retriever's cosines, which lie close together


def train_retriever(
    plain: PersonalizedLM, data: Data, examples: list[dict], prepared: list[Example], seed: int
) -> InputEncoder:
    """Train a map of queries from the LLM's feedback.

    Args:
        plain: The LLM without plug; its `facts` name the LLM.
        data: The task's data.
        examples: Training examples.
        prepared: The same, prepared, with targets.
        seed: Of the choice of questions and candidates, and of the order of training.

    Returns:
        The map; it starts as the identity, that is, as the untrained dense retriever.
    """
    generator = np.random.default_rng(seed)
    usable = [i for i, example in enumerate(examples) if len(example["profile"]) > 1]
    retriever = InputEncoder(prepared[0].query.shape[0])
    if not usable:
        return retriever
    chosen = generator.permutation(usable)[:QUESTIONS]
    examples, prepared = [examples[i] for i in chosen], [prepared[i] for i in chosen]
    places, likelihoods = _feedback(plain, data, examples, prepared, seed)
    items = torch.from_numpy(_stack(prepared, places))
    queries = torch.from_numpy(np.stack([example.query for example in prepared]).astype(np.float32))
    is_item = torch.from_numpy(places >= 0)
    floor = torch.finfo(torch.float32).min
    wanted = torch.from_numpy(likelihoods).masked_fill(~is_item, floor).softmax(dim=-1)
    optimizer = torch.optim.AdamW(retriever.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        rows = torch.from_numpy(generator.integers(len(queries), size=min(BATCH, len(queries))))
        scores = torch.einsum("bd,bnd->bn", retriever(queries[rows]), items[rows]) / TEMPERATURE
        found = scores.masked_fill(~is_item[rows], floor).log_softmax(dim=-1)
        loss = torch.nn.functional.kl_div(found, wanted[rows], reduction="batchmean")
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return retriever.eval()


def _feedback(plain, data, examples, prepared, seed) -> tuple[np.ndarray, np.ndarray]:
    """The candidates' places in the history, `[Q, C]` (-1: none); the LLM's log-likelihood of the target with each."""
    places = np.full((len(examples), CANDIDATES), -1)
    shown, asked, ready, at = [], [], [], []
    ranked = retrieve("random", data, examples, prepared, seed)
    for q, (example, example_prepared, rows) in enumerate(zip(examples, prepared, ranked, strict=True)):
        newest = example["profile"][len(example["profile"]) - len(example_prepared.history) :]  # those with vectors
        for c, row in enumerate([row for row in rows if row in newest][:CANDIDATES]):
            places[q, c] = newest.index(row)
            shown.append([row]), asked.append(example), ready.append(example_prepared), at.append((q, c))
    prompts = put_in_prompt(plain, data, asked, ready, shown)
    likelihoods = np.zeros(places.shape, dtype=np.float32)
    for where, value in zip(at, log_likelihoods(plain, prompts), strict=True):
        likelihoods[where] = value
    return places, likelihoods


@torch.inference_mode()
def log_likelihoods(model: PersonalizedLM, prepared: list[Example], batch_size: int = 64) -> np.ndarray:
    """The log-likelihood of each example's target, summed over its tokens: `[n]` float32."""
    order = sorted(range(len(prepared)), key=lambda i: len(prepared[i].input_ids))
    found = np.zeros(len(prepared), dtype=np.float32)
    kind = model.llm.device.type
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collate(model, [prepared[i] for i in rows])
        with torch.autocast(kind, torch.bfloat16, enabled=has_bfloat16(kind)):
            logits = model.eval()(**batch, only_targets=True)["logits"].float()
        labels, n = batch["labels"], batch["labels"].shape[1]
        if not model.is_encoder_decoder:  # as in `likelihood.target_nats`
            logits, labels = logits[:, -n - 1 : -1], labels[:, -(logits.shape[1] - 1) :]
        picked = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        found[rows] = (picked * (labels >= 0)).sum(dim=-1).cpu().numpy()
    return found


def _stack(prepared: list[Example], places: np.ndarray) -> np.ndarray:
    """The candidates' vectors, `[Q, C, D]` float32; zeros where there is none."""
    out = np.zeros((*places.shape, prepared[0].query.shape[0]), dtype=np.float32)
    for q, example in enumerate(prepared):
        out[q, places[q] >= 0] = example.history[places[q][places[q] >= 0]]
    return out


def with_queries(retriever: InputEncoder, prepared: list[Example]) -> list[Example]:
    """The same examples with mapped queries, for the *dense* way to retrieve."""
    with torch.inference_mode():
        mapped = retriever(torch.from_numpy(np.stack([e.query for e in prepared]).astype(np.float32))).numpy()
    return [replace(example, query=query) for example, query in zip(prepared, mapped, strict=True)]
