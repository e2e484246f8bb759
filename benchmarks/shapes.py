"""Examples of LaMP's shapes, and an LLM of FLAN-T5-small's: what a benchmark needs of a data set are its lengths.

Lengths are the paper's (its data statistics for LaMP-4): mean and standard deviation of the input and the output in
tokens and of the history in items, cut to what the paper's set-up allows.
"""

from pathlib import Path

import numpy as np

from pplug.method.batches import Example
from pplug.method.prompts import MAX_INPUT, MAX_TARGET

INPUT, OUTPUT, HISTORY = (30.0, 12.1), (10.1, 3.1), (204.6, 250.8)
MAX_ITEMS = 512
REALDATA = Path(__file__).resolve().parent.parent.parent / "shared" / "realdata"


def lengths(rng: np.random.Generator, n: int, mean: float, deviation: float, most: int) -> np.ndarray:
    """`[n]` lengths, log-normal with this mean and standard deviation, between 1 and `most`."""
    variance = np.log(1 + (deviation / mean) ** 2)
    drawn = rng.lognormal(np.log(mean) - variance / 2, np.sqrt(variance), n)
    return np.clip(drawn.round(), 1, most).astype(int)


def lamp_examples(n: int, width: int, vocabulary: int, seed: int = 0) -> list[Example]:
    """Make examples of LaMP-4's lengths with random tokens and vectors.

    Args:
        n: How many.
        width: D, the encoder's width.
        vocabulary: Token ids are drawn below it.
        seed: Of the draws.

    Returns:
        The examples.
    """
    rng = np.random.default_rng(seed)
    cut = ((*INPUT, MAX_INPUT), (*OUTPUT, MAX_TARGET), (*HISTORY, MAX_ITEMS))
    examples = []
    for inputs, outputs, items in zip(*(lengths(rng, n, *numbers) for numbers in cut), strict=True):
        vectors = rng.standard_normal((items + 1, width), dtype=np.float32)
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
        tokens = rng.integers(3, vocabulary, inputs + outputs).tolist()
        text = " ".join(["word"] * max(1, inputs - 8))  # the release's query leaves the template out
        examples.append(Example(tokens[:inputs], tokens[inputs:], vectors[1:], vectors[0], text))
    return examples


def profile_entries() -> tuple[list[str], str]:
    """History texts in file order, one entry for each (question, item), and where they are from."""
    from pplug.config import DEFAULT
    from pplug.data.loading import load
    from pplug.study.experiment import task_data

    real = REALDATA / "LaMP_4"
    data = load(real, "LaMP-4") if real.is_dir() else task_data("LaMP-4", DEFAULT)
    texts = data.history_texts()
    entries = [texts[row] for split in data.splits.values() for rows in split["profile"] for row in rows]
    return entries, "real headlines" if real.is_dir() else "simulated users"


def flan_t5_small():
    """An LLM of FLAN-T5-small's shape with random weights, frozen.

    60 million parameters and not 77, since transformers ties the two tables of embeddings; the work is the same.
    """
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=32_128,
        d_model=512,
        d_kv=64,
        d_ff=1024,
        num_layers=8,
        num_heads=6,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,  # which also says that outputs are not scaled, as in T5 1.1
        decoder_start_token_id=0,
        attn_implementation="eager",  # as load_llm has it on a CPU
    )
    return T5ForConditionalGeneration(config).eval().requires_grad_(False)


class ReadyTokens:
    """Stands where a tokenizer is asked for: batches of ready tokens want no more of it than this."""

    pad_token_id = 0
