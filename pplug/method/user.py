"""A user of a trained plug: made once from a history, used for many questions, kept in a small file where asked.

Of the history only what the plug needs is kept: the items' vectors and their first-layer features, `gelu(W₁ h + b₁)` of
Eq. 4, or, for mean pooling, the sum of these features alone. N items, D encoder width, H LLM width.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pplug.base import DataError, InputError, write_bytes
from pplug.data import clean_items, history_text
from pplug.method.encoders import encode_texts
from pplug.method.model import PromptedLM

KEY_BYTES = 16  # of an item's hash
FORMAT = "pplug user 1"  # of a user's file; raise it when what the file holds changes its meaning


@dataclass(frozen=True, eq=False, repr=False)
class User:
    """One user of one plug, from `model.user(history)`. Nothing changes it: `add` and `remove` give another one.

    Attributes:
        made_for: What it depends on: `task`, `encoder`, and `plug`, a hash of the plug's choices and first layer.
        keys: `[N, 16] uint8`, hashes of the items' texts, oldest first. They tell whether a known text is among them.
        vectors: `[N, D] float16`, as the history encoder gives them; None with mean pooling, which keeps `total`.
        features: `[N, H] float32`, the projector's first layer of them; None with `total`, or without user embedding.
        total: `[H] float32`, the sum of all items' features; None where the plug needs the items one by one.
        model: The model it was made by; None after `load` without one.
    """

    made_for: dict[str, str]
    keys: np.ndarray
    vectors: np.ndarray | None
    features: Tensor | None
    total: Tensor | None = None
    model: PromptedLM | None = None

    def __repr__(self) -> str:
        return f"User({len(self)} items, made for {self.made_for})"

    def __len__(self) -> int:
        """Items that are used: no more than the plug's `max_history`, the newest."""
        return len(self.keys)

    def add(self, items: Iterable[dict]) -> "User":
        """The user with more items, the newest last; only these are encoded.

        Raises:
            InputError: They are no items of the task, or the user was loaded without its model.
        """
        return self._extended(*_encode(self._bound(), [items], "items to add")[0])

    def remove(self, items: Iterable[dict | int]) -> "User":
        """The user without some items, as if these had never been there.

        Args:
            items: The items, of which every copy goes; or their positions, oldest first, where the plug keeps items.

        Raises:
            InputError: An item is not one of this user's; or a position is given that does not exist, or of a user of
                whom only the sum is kept.
        """
        items = list(items)
        places = [item for item in items if type(item) is int]
        given = [item for item in items if type(item) is not int]
        keys, vectors = _encode(self._bound(), [given], "items to remove")[0]
        gone = np.zeros(len(self), dtype=bool)
        if places and self.total is not None:
            raise InputError(
                "with mean pooling, only the sum of items is kept: give the items to remove, not positions"
            )
        for place in places:
            if not -len(self) <= place < len(self):
                raise InputError(f"expected positions of items, 0 to {len(self) - 1}, found {place}")
            gone[place] = True
        features, total = _features(self.model, vectors), self.total
        for number, key in enumerate(keys):
            copies = (self.keys == key).all(axis=1)
            if not copies.any():
                raise InputError(f"items to remove: item {number}: expected an item of this user's history")
            if total is not None:
                total = total.to(features.device) - int((copies & ~gone).sum()) * features[number]
            gone |= copies
        if total is not None:
            return replace(self, keys=self.keys[~gone], total=torch.zeros_like(total) if gone.all() else total)
        features = None if self.features is None else self.features[torch.from_numpy(~gone).to(self.features.device)]
        return replace(self, keys=self.keys[~gone], vectors=self.vectors[~gone], features=features)

    def to_bytes(self) -> bytes:
        """What `save` writes: the user in half precision, with what it was made for; no text of the history is in it.

        Raises:
            InputError: A number is not finite in half precision.
        """
        from safetensors.torch import save

        tensors = {"keys": torch.from_numpy(self.keys)}
        if self.total is not None:  # in full: items are taken out of it again
            tensors["total"] = self.total.cpu()
        if self.vectors is not None:
            tensors["vectors"] = torch.from_numpy(self.vectors)
        if self.features is not None:
            tensors["features"] = self.features.half().cpu()
        if not all(value.isfinite().all() for value in tensors.values()):
            raise InputError("a user's numbers are not finite in half precision: not written")
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        return save(tensors, {"format": FORMAT, "made_for": json.dumps(self.made_for)})

    @classmethod
    def from_bytes(cls, data: bytes, model: PromptedLM | None = None, where: str = "a user") -> "User":
        """The user that `to_bytes` gave.

        Args:
            data: The bytes.
            model: The model it is for; without it, the user can be asked for by any call of a model, but not changed.
            where: What an error names.

        Raises:
            DataError: They are damaged, or of another version.
            InputError: The user was made for another plug, encoder or task than the model's.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(data)
            told = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
            made_for = json.loads(told["made_for"]) if told.get("format") == FORMAT else None
        except (SafetensorError, KeyError, ValueError) as error:
            raise DataError(f"{where}: expected what User.save wrote, it is damaged: {error}") from error
        if not _fit_together(made_for, tensors):
            raise DataError(f"{where}: expected what User.save of this version wrote")
        keys, vectors = tensors["keys"].numpy(), tensors.get("vectors")
        features = None if tensors.get("features") is None else tensors["features"].float()
        user = cls(made_for, keys, None if vectors is None else vectors.numpy(), features, tensors.get("total"), model)
        if model is not None:
            user.check(model)
        return user

    def save(self, path: str | Path) -> Path:
        """Write the user to a file; see `to_bytes`.

        Returns:
            The path.
        """
        write_bytes(Path(path), self.to_bytes())
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, model: PromptedLM | None = None) -> "User":
        """Read a user that `save` wrote; see `from_bytes`.

        Raises:
            FileNotFoundError: There is no such file.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file: expected one that User.save wrote")
        return cls.from_bytes(path.read_bytes(), model, str(path))

    def check(self, model: PromptedLM) -> None:
        """Check that the user was made for this model's task, encoder and plug.

        Raises:
            InputError: It was not.
        """
        for what, value in made_for(model).items():
            if self.made_for.get(what) != value:
                other = f"{what} {self.made_for.get(what)}, not for this model's {what} {value}"
                raise InputError(f"this user was made for the {other}: make it again with model.user(history)")
        config, kept = model.plug.config, model.plug.config.features_width
        for value, width in ((self.vectors, config.encoder_width), (self.features, kept), (self.total, kept)):
            if value is not None and value.shape[-1] != width:
                raise DataError(f"this user's numbers: expected {width} for each item, found {value.shape[-1]}")

    def rows(self, width: int) -> tuple[np.ndarray, Tensor | None]:
        """What the plug is given: vectors `[n, D]` and features `[n, H]`. The mean of all items counts as one item."""
        if self.total is None:
            return self.vectors, self.features
        n = min(1, len(self))
        return np.zeros((n, width), dtype=np.float16), self.total[None, :][:n] / max(1, len(self))

    def _bound(self) -> PromptedLM:
        if self.model is None:
            raise InputError("this user was loaded without its model: User.load(path, model)")
        self.check(self.model)
        return self.model

    def _extended(self, keys: np.ndarray, vectors: np.ndarray) -> "User":
        keys = np.concatenate([self.keys, keys])
        features = _features(self.model, vectors)
        if self.total is not None:
            return replace(self, keys=keys, total=self.total.to(features.device) + features.sum(dim=0))
        newest = slice(-self.model.plug.config.max_history or None, None)  # all if it is 0
        if features is not None:
            features = torch.cat([self.features.to(features.device), features])[newest]
        return replace(
            self, keys=keys[newest], vectors=np.concatenate([self.vectors, vectors])[newest], features=features
        )


def build_users(model: PromptedLM, histories: list[Iterable[dict]]) -> Iterator[User]:
    """Make users of their histories; each distinct text is encoded once, and nothing reaches the disk.

    Args:
        model: With a plug.
        histories: Of each user the items, oldest first; may be empty.

    Returns:
        The users, each made when it is asked for: the features of all would not fit into memory.

    Raises:
        InputError: Something is no item of the task, or the model has no plug.
    """
    encoded, spec = _encode(model, histories, "history"), made_for(model)
    config = model.plug.config
    is_summed = config.user and config.pooling == "mean" and not config.max_history
    nothing = np.zeros((0, config.encoder_width), dtype=np.float16)
    no_features = _features(model, nothing)
    nobody = User(spec, np.zeros((0, KEY_BYTES), dtype=np.uint8), nothing, no_features, None, model)
    if is_summed:
        nobody = replace(nobody, vectors=None, features=None, total=no_features.sum(dim=0))
    return (nobody._extended(*one) for one in encoded)


def made_for(model: PromptedLM) -> dict[str, str]:
    """What a user of this model depends on; the plug's second layer and instruction are not part of it."""
    plug, task = model.plug, model.task
    config = plug.config
    form = task.labelled_history if config.with_label else task.history
    digest = hashlib.sha256(json.dumps([form, config.user, config.pooling, config.max_history]).encode())
    if config.user:
        first = (plug.projector.mean, plug.projector.spread) if config.crowd else plug.projector.hidden.parameters()
        for weight in first:
            digest.update(weight.detach().float().cpu().numpy().tobytes())
    return {"task": task.name, "encoder": model.encoder.key, "plug": digest.hexdigest()[:16]}


def _encode(model: PromptedLM, histories: list[Iterable[dict]], where: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The items' hashes `[N, 16]` and vectors `[N, D]` of each history, of no more items than the plug uses."""
    if model.plug is None:
        raise InputError("a model without a plug has no users")
    config, task = model.plug.config, model.task
    cleaned = [clean_items(task, history, where)[-config.max_history :] for history in histories]  # all if it is 0
    texts = [[history_text(task, item, config.with_label) for item in items] for items in cleaned]
    every = [text for some in texts for text in some]
    # In half precision, as the store of `encode` keeps them: a served user is the one that was trained with.
    vectors = encode_texts(model.encoder, every, progress=False).astype(np.float16) if every and config.user else None
    found, start = [], 0
    for some in texts:
        keys = b"".join(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:KEY_BYTES] for text in some)
        own = vectors[start : start + len(some)] if vectors is not None else _no_vectors(len(some), config)
        found.append((np.frombuffer(keys, dtype=np.uint8).reshape(-1, KEY_BYTES), own))
        start += len(some)
    return found


def _no_vectors(n: int, config) -> np.ndarray:
    return np.zeros((0 if config.user else n, config.encoder_width), dtype=np.float16)


def _features(model: PromptedLM, vectors: np.ndarray) -> Tensor | None:
    """What `projector.features` makes of each item, float32 on the plug's device; None without user embedding."""
    projector = model.plug.projector
    if projector is None:
        return None
    with torch.no_grad():
        return projector.features(torch.from_numpy(vectors.astype(np.float32)).to(projector.hidden.weight.device))


def _fit_together(made_for, tensors: dict[str, Tensor]) -> bool:
    """Whether a file's parts are those of one user."""
    keys, (vectors, features, total) = tensors.get("keys"), map(tensors.get, ("vectors", "features", "total"))
    if not isinstance(made_for, dict) or keys is None or keys.dtype != torch.uint8:
        return False
    if keys.ndim != 2 or keys.shape[1] != KEY_BYTES or not all(value.isfinite().all() for value in tensors.values()):
        return False
    if total is not None:
        return vectors is None and features is None and total.ndim == 1 and total.dtype == torch.float32
    if vectors is None or vectors.dtype != torch.float16 or vectors.ndim != 2 or len(vectors) != len(keys):
        return False
    return features is None or (features.dtype == torch.float16 and features.shape[:-1] == keys.shape[:1])
