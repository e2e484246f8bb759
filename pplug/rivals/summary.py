"""A summary of the user in front of the input, written once for each user by the LLM itself."""

from pplug.data import Data, describe_prompt, history_text
from pplug.method import PersonalizedLM, answer_prompts, is_standin

ITEMS_READ = 6  # the newest items that the LLM reads for its summary; a stand-in was taught with up to six
SUMMARY_TOKENS = 48
REQUEST = "Describe in one sentence what is typical of the person who wrote this: "


def write_summaries(plain: PersonalizedLM, data: Data, examples: list[dict], **options) -> list[str]:
    """Let the LLM summarise the user of each example from the newest items.

    Args:
        plain: The LLM without plug; its `facts` name the LLM.
        data: The task's data.
        examples: The questions, from `data.splits`; one summary for each.
        **options: For the LLM's `generate`.

    Returns:
        One text for each example; empty where the history is.
    """
    prompts, at = [], []
    for i, example in enumerate(examples):
        items = [data.items[row] for row in example["profile"][-ITEMS_READ:]]
        if not items:
            continue
        at.append(i)
        if is_standin(plain.facts["llm"]):
            prompts.append(describe_prompt(data.task, items))
        else:
            prompts.append(REQUEST + " ".join(history_text(data.task, item) for item in items))
    summaries = [""] * len(examples)
    written = answer_prompts(plain, prompts, **options | {"max_new_tokens": SUMMARY_TOKENS}) if prompts else []
    for i, text in zip(at, written, strict=True):
        summaries[i] = text
    return summaries
