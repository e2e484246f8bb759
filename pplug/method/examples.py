"""Examples of one's own, plain dicts, made ready for training: no LaMP folder, no profile."""

from pathlib import Path

import numpy as np

from pplug.base import InputError, is_value, shown
from pplug.data import clean_items, get_task, history_text, query_text
from pplug.method.batches import Example, prepare_example
from pplug.method.encoders import encode, encode_texts
from pplug.method.model import PromptedLM


def prepare_raw(model: PromptedLM, examples: list[dict], cache: str | Path | None = None) -> list[Example]:
    """Encode and tokenise examples that carry their histories with them.

    Args:
        model: Tells task, encoder, tokenizer and the plug's choices.
        examples: `{"input": str, "output": str, "history": [item, ...]}`, the items oldest first, with the task's
            fields; further keys, such as `"user_id"`, are not looked at. Without `"output"`, an example can be
            answered but not trained on.
        cache: Folder of the vector store (see `encoders.encode`); with None, nothing of the examples reaches the disk,
            and each call encodes them anew.

    Returns:
        The examples in the same order.

    Raises:
        InputError: An example is not what it should be; the message has its number, counted from 0.
    """
    task, config = get_task(model.facts["task"]), model.plug.config
    histories, query_texts = [], []
    for number, example in enumerate(examples):
        _check(example, number)
        items = clean_items(task, example["history"], f"example {number}: history")
        newest = items[-config.max_history :]  # all of them where it is 0
        histories.append([history_text(task, item, config.with_label) for item in newest])
        try:
            query_texts.append(query_text(task, example["input"], config.full_query))
        except ValueError as error:
            raise InputError(f"example {number}: {error}") from error
    place = {text: row for row, text in enumerate(dict.fromkeys(text for texts in histories for text in texts))}

    def vectors(texts: list[str], is_query: bool = False) -> np.ndarray:
        if cache is not None:
            return encode(model.encoder, texts, cache, is_query=is_query)
        return encode_texts(model.encoder, texts, is_query=is_query).astype(np.float16)

    item_vectors, queries = vectors(list(place)), vectors(query_texts, is_query=True)
    return [
        prepare_example(
            model,
            example["input"],
            None if example.get("output") is None else str(example["output"]),
            item_vectors[np.array([place[text] for text in texts], dtype=int)],
            queries[i],
            query_texts[i],
            task,
        )
        for i, (example, texts) in enumerate(zip(examples, histories, strict=True))
    ]


def _check(example: dict, number: int) -> None:
    """Check one example's form."""
    if not isinstance(example, dict):
        expected = 'expected {"input": ..., "output": ..., "history": [...]}'
        raise InputError(f"example {number}: {expected}, found {shown(repr(example))}")
    if not isinstance(example.get("input"), str):
        raise InputError(f'example {number}: expected text as "input", found {shown(repr(example.get("input")))}')
    if example.get("output") is not None and not is_value(example["output"]):
        raise InputError(f'example {number}: expected text as "output", found {shown(repr(example["output"]))}')
    if not isinstance(example.get("history"), list):
        raise InputError(
            f'example {number}: expected a list of items as "history", found {shown(repr(example.get("history")))}'
        )
