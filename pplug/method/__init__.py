"""The paper's method: encoders and their store, the plug, the frozen LLM behind it, training, answering."""

# What other rooms use of this one; inside it, modules import each other directly.
from pplug.method.batches import Example, collate, encode_history, examples_hash, prepare, prepare_example, with_prompts
from pplug.method.budget import MAX_PROMPT, new_tokens, prompt, prompt_budget
from pplug.method.embedder import InputEncoder, Plug
from pplug.method.encoders import Encoder, encode, encode_texts, load_encoder, text_keys
from pplug.method.evaluation import answer_prompts, evaluate, predict, swap_histories
from pplug.method.fingerprints import llm_fingerprint
from pplug.method.likelihood import target_nats, token_nats
from pplug.method.llm_loading import SHIPPED, is_standin, llm_source, load_llm
from pplug.method.packaged import minilm_folder
from pplug.method.personalized import PersonalizedLM, build
from pplug.method.plug_config import POOLINGS, PlugConfig
from pplug.method.predictions import write_predictions
from pplug.method.prompts import MAX_INPUT, target_ids, text_ids
from pplug.method.release import RELEASE, VISITS
from pplug.method.saved import read_plug
from pplug.method.shared_encoding import encode_shared
from pplug.method.store import remove
from pplug.method.together import nats_together, train_together
from pplug.method.training import train
from pplug.method.user import User

__all__ = [
    "MAX_INPUT",
    "MAX_PROMPT",
    "POOLINGS",
    "RELEASE",
    "SHIPPED",
    "VISITS",
    "Encoder",
    "Example",
    "InputEncoder",
    "PersonalizedLM",
    "Plug",
    "PlugConfig",
    "User",
    "answer_prompts",
    "build",
    "collate",
    "encode",
    "encode_history",
    "encode_shared",
    "encode_texts",
    "evaluate",
    "examples_hash",
    "is_standin",
    "llm_fingerprint",
    "llm_source",
    "load_encoder",
    "load_llm",
    "minilm_folder",
    "nats_together",
    "new_tokens",
    "predict",
    "prepare",
    "prepare_example",
    "prompt",
    "prompt_budget",
    "read_plug",
    "remove",
    "swap_histories",
    "target_ids",
    "target_nats",
    "text_ids",
    "text_keys",
    "token_nats",
    "train",
    "train_together",
    "with_prompts",
    "write_predictions",
]
