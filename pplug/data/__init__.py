"""Tasks, LaMP's files as examples and one history table, metrics, intervals, retrieval. No neural network in here."""

# What other rooms use of this one; inside it, modules import each other directly.
from pplug.data.intervals import Interval, bootstrap_corpus, bootstrap_mean, bootstrap_ratio, gain
from pplug.data.items import as_text, clean_items
from pplug.data.lamp_files import SPLITS, check_file
from pplug.data.loading import Data, examples_with_output, held_out_examples, load
from pplug.data.metrics import example_scores, label_index, macro_f1, tokenizer_name
from pplug.data.retrieval import BM25_WORD, RETRIEVERS, rank_by_words, retrieve
from pplug.data.style import HABITS, SPREADS, scaled_style, style, style_distance, style_in_words
from pplug.data.subsets import subset
from pplug.data.tasks import (
    LOWER_IS_BETTER,
    TASKS,
    Task,
    build_input,
    describe_prompt,
    fixed_parts,
    get_task,
    history_text,
    parse_input,
    prompt_as_lamp,
    prompt_with_items,
    prompt_with_persona,
    query_text,
    task_fact,
)

__all__ = [
    "BM25_WORD",
    "HABITS",
    "LOWER_IS_BETTER",
    "RETRIEVERS",
    "SPLITS",
    "SPREADS",
    "TASKS",
    "Data",
    "Interval",
    "Task",
    "as_text",
    "bootstrap_corpus",
    "bootstrap_mean",
    "bootstrap_ratio",
    "build_input",
    "check_file",
    "clean_items",
    "describe_prompt",
    "example_scores",
    "examples_with_output",
    "fixed_parts",
    "gain",
    "get_task",
    "held_out_examples",
    "history_text",
    "label_index",
    "load",
    "macro_f1",
    "parse_input",
    "prompt_as_lamp",
    "prompt_with_items",
    "prompt_with_persona",
    "query_text",
    "rank_by_words",
    "retrieve",
    "scaled_style",
    "style",
    "style_distance",
    "style_in_words",
    "subset",
    "task_fact",
    "tokenizer_name",
]
