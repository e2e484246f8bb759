"""Small tokenizers that begin, end or frame what is said, for tests of prompts."""

import numpy as np
import tiny

from pplug.offline.standin_training import train_tokenizer

TEXTS = ["generate a headline for the following article", "one two three four"] * 5
NOTHING, QUERY = np.zeros((0, tiny.WIDTH), np.float16), np.zeros(tiny.WIDTH, np.float16)


def started(end: bool = False):
    """A tokenizer that begins each text with `<s>`, and on request ends each with `</s>`, a prompt too."""
    from tokenizers import processors

    tokenizer = train_tokenizer(TEXTS, 400)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if end else "<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id), ("</s>", 1)]
    )
    return tokenizer


def with_template(template: str):
    tokenizer = train_tokenizer(TEXTS, 400)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>", "<|im_start|>"]})
    tokenizer.chat_template = template
    return tokenizer


def chat(content: str) -> str:
    return "<user> {{ " + content + " }} <end>{% if add_generation_prompt %}<answer>{% endif %}"


PLAIN = chat("messages[0]['content']")
