"""What a sentence-transformers model says about itself: its prompts, its ways for queries and texts, what it is."""

import hashlib
import json
from typing import TYPE_CHECKING

from pplug.method.fingerprints import tokenizer_hash

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

FIRST = "\n"  # in front of what an LLM's first layers read
QUERY_PROMPTS, TEXT_PROMPTS = ("query",), ("document", "passage", "corpus")  # as sentence-transformers looks for them


def own_prompt(module: "SentenceTransformer", names: tuple[str, ...]) -> str:
    """The model's prompt for queries or for texts: the one sentence-transformers would use, else the only one alike.

    Many models call theirs `search_query` or `retrieval.passage`, which has to be said by hand elsewhere.
    """
    known = next((name for name in names if name in module.prompts), module.default_prompt_name)
    alike = [prompt for name, prompt in module.prompts.items() if name.endswith(names) and prompt]
    is_only_one = module.default_prompt_name is None and len(alike) == 1
    return module.prompts.get(known) or (alike[0] if is_only_one else "")


def has_routes(module: "SentenceTransformer") -> bool:
    """Whether a model does another thing with a query than with the same text, its prompt aside."""
    from sentence_transformers.sentence_transformer.modules import Router

    limits = (getattr(part, name, None) for part in module.modules() for name in ("query_length", "document_length"))
    return any(isinstance(part, Router) for part in module.modules()) or any(limit is not None for limit in limits)


def model_hash(module: "SentenceTransformer") -> str:
    """Hash of what decides a vector: weights, tokeniser, pooling and later modules, routes."""
    import torch

    digest = hashlib.sha256()
    parts = list(module.named_modules())[1:] if has_routes(module) else list(enumerate(module))[1:]
    settings = [[str(place), type(part).__name__, getattr(part, "get_config_dict", dict)()] for place, part in parts]
    tokenizers = {id(found): found for part in module.modules() if (found := getattr(part, "tokenizer", None))}
    settings += [tokenizer_hash(tokenizer) for tokenizer in tokenizers.values()]
    digest.update(json.dumps(settings, default=str).encode())
    for name, weight in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def first_layers(source: str, layers: int, device: str | None, options: dict) -> "SentenceTransformer":
    """The first layers of an LLM as an encoder: the mean over a text's tokens of what comes out of them.

    A line break stands in front of each text and is left out of the mean: an LLM's first token is unlike all others,
    hundreds of times as long.

    Args:
        source: The LLM's folder or name.
        layers: How many; the last one's output is taken as it is, without the norm that follows the LLM's own last.
        device: Where to.
        options: For transformers' `from_pretrained`.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from torch import nn
    from transformers.utils import logging

    reads = {
        "text": {"method": "forward", "method_output_name": "last_hidden_state"}
    }  # else, chat turns by its template
    config, before = {"num_hidden_layers": layers}, logging.get_verbosity()
    logging.set_verbosity_error()  # it would list each layer that is left out
    try:
        transformer = Transformer(
            source,
            model_kwargs=options,
            config_kwargs=config,
            modality_config=reads,
            module_output_name="token_embeddings",
        )
    finally:
        logging.set_verbosity(before)
    transformer.model.norm = nn.Identity()
    tokenizer = transformer.tokenizer
    tokenizer.padding_side, tokenizer.pad_token = "right", tokenizer.pad_token or tokenizer.eos_token
    pooling = Pooling(transformer.get_embedding_dimension(), "mean", include_prompt=False)
    prompts = {"query": FIRST, "document": FIRST}
    return SentenceTransformer(modules=[transformer, pooling], device=device, prompts=prompts)
