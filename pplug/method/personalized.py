"""What users of a plug call: make one, serve users, look inside, save and load. The module itself is in `model.py`."""

import copy
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

import pplug.method.answering as answering
from pplug.base import InputError
from pplug.data import Task, get_task, task_fact
from pplug.method.embedder import Plug
from pplug.method.encoders import Encoder, load_encoder
from pplug.method.hub import plug_file, push
from pplug.method.llm_loading import embedding_norm, load_llm
from pplug.method.model import PromptedLM
from pplug.method.plug_config import PlugConfig
from pplug.method.saved import check_weights, facts_of, load_parts, read_plug, write_plug
from pplug.method.user import User, build_users


class PersonalizedLM(PromptedLM):
    """A frozen LLM, personalised by one plug for all its users.

    `create` makes one with a new plug, `from_pretrained` one with a saved plug; `training.train` trains it.
    """

    @classmethod
    def create(
        cls,
        task: str | Task,
        llm="standin",
        tokenizer=None,
        encoder: str | Encoder = "minilm",
        seed: int = 0,
        **choices,
    ) -> "PersonalizedLM":
        """Put a new, untrained plug in front of an LLM.

        Args:
            task: A task, or the name of one of LaMP's.
            llm: What `load_llm` takes, or a loaded LLM, which is frozen.
            tokenizer: The loaded LLM's.
            encoder: What `load_encoder` takes, or an encoder.
            seed: Of the plug's initial weights.
            **choices: Fields of `PlugConfig`.

        Raises:
            InputError: There is no such task, LLM or encoder; or an LLM was given without its tokenizer.
        """
        task = get_task(task)
        name = str(llm) if isinstance(llm, str | Path) else getattr(llm, "name_or_path", "") or "unnamed"
        llm, tokenizer = load_llm(llm, tokenizer)
        encoder = load_encoder(encoder) if isinstance(encoder, str) else encoder
        facts = {"task": task_fact(task), "llm": name, "encoder": encoder.name}
        with torch.random.fork_rng(devices=[]):  # the caller's random state stays
            torch.manual_seed(seed)
            return build(llm, tokenizer, encoder, None, facts, **choices)

    def user(self, history: Iterable[dict]) -> User:
        """Make a user of a history, to be asked for as often as there are questions.

        Args:
            history: Items with the task's fields, oldest first; may be empty. The plug's `max_history` newest count.

        Raises:
            InputError: Something is no item of the task.
        """
        return next(build_users(self, [history]))

    def generate(
        self, text: str | list[str], user: User | list[User], streamer=None, batch_size: int = 32, **options
    ) -> str | list[str]:
        """Answer inputs for users.

        Args:
            text: One input, or several; each follows the task's template.
            user: From `user`: one for all inputs, or as many as there are inputs.
            streamer: For one input alone and greedy decoding: what transformers' `generate` takes, e.g.
                `TextStreamer(model.tokenizer, skip_special_tokens=True)`, which prints the words as they come.
            batch_size: Most inputs at a time; they are batched by length.
            **options: For the LLM's `generate`: `num_beams`, ...; `max_new_tokens` is the task's if not given.

        Returns:
            A text for one input, a list of texts for several: the same as one by one.

        Raises:
            InputError: An input does not follow the template, or a user was made for another plug.
        """
        return answering.answer(self, text, user, streamer, batch_size, **options)

    def soft_prompt(self, text: str, user: User) -> Tensor:
        """The soft prompt `[I ; P^u]` of one input, *Paper: Eq. 5*: `[tokens, H]` float32, on the CPU."""
        return answering.soft_prompt(self, text, user)

    def weights(self, text: str, user: User) -> Tensor:
        """The weight of each of the user's items for one input, *Paper: Eq. 3*: `[N]` float32, oldest item first."""
        return answering.weights(self, text, user)

    def prompt_embeds(self, text: str, user: User) -> Tensor:
        """All that the LLM reads, *Paper: Eq. 5*: `[tokens + T, H]` float32, on the CPU, for any engine that takes
        embeddings. A chat template's beginning stands in front of the soft prompt.
        """
        return answering.prompt_embeds(self, text, user)

    def save_pretrained(self, folder: str | Path, half: bool = False) -> Path:
        """Write the plug alone, as one file `plug.safetensors`: weights, config, and what it was trained with.

        Args:
            folder: Where to.
            half: Whether to keep the weights in half precision, which takes half of the space.

        Returns:
            The folder.

        Raises:
            InputError: A weight is not finite; what was saved before is untouched.
        """
        write_plug(Path(folder), self.plug, self.state_dict(), facts_of(self), half)
        return Path(folder)

    def push_to_hub(self, repo_id: str, **options) -> str:
        """Upload the plug and a model card to the Hugging Face hub; see `hub.push`."""
        return push(self, repo_id, **options)

    @classmethod
    def from_pretrained(
        cls,
        folder_or_repo: str | Path,
        llm=None,
        tokenizer=None,
        encoder: Encoder | str | None = None,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        quantization_config=None,
    ) -> "PersonalizedLM":
        """Load a saved plug together with its LLM and its encoder.

        Args:
            folder_or_repo: The folder `save_pretrained` wrote; or the id of a hub repository, `"owner/name"`; or
                `"chat"`, the plug for SmolLM2 that ships with the project, trained on real people's chats.
            llm: The name or folder of the plug's LLM, or the loaded LLM itself, which several plugs can share; None for
                the name in the plug, at the commit it was trained with.
            tokenizer: The LLM's; needed where `llm` is loaded already.
            encoder: The name or folder of the plug's encoder, or the loaded `Encoder`; None for the name in the plug.
            device, dtype, quantization_config: How to load the LLM; see `load_llm`.

        Raises:
            FileNotFoundError: If there is no plug.
            DataError: If the plug is damaged, or LLM or encoder are not the ones it was trained with.
        """
        path = plug_file(folder_or_repo)
        facts, config, weights = read_plug(path)
        how = {"device": device, "dtype": dtype, "quantization_config": quantization_config}
        llm, tokenizer, encoder = load_parts(path, facts, config, llm, tokenizer, encoder, **how)
        model = build(llm, tokenizer, encoder, config, facts)
        check_weights(path, weights, model.state_dict())
        model.load_state_dict(weights)
        return model.eval()


def build(llm, tokenizer, encoder: Encoder, config: PlugConfig | None = None, facts: dict | None = None, **choices):
    """Put a new plug in front of an LLM.

    Args:
        llm: From `load_llm`.
        tokenizer: Its tokenizer.
        encoder: From `load_encoder`.
        config: The plug's config; made from the LLM's and encoder's widths and `choices` if None.
        facts: See `PersonalizedLM`.
        **choices: Fields of `PlugConfig`.

    Returns:
        A `PersonalizedLM` in evaluation mode, its plug freshly initialised from torch's random state.
    """
    if config is None:
        width = llm.get_input_embeddings().weight.shape[1]
        measured = {"encoder_width": encoder.width, "llm_width": width, "embedding_norm": embedding_norm(llm)}
        config = PlugConfig(**(measured | choices))
    if config.before == "answer" and llm.config.is_encoder_decoder:
        raise InputError('before="answer": expected a decoder-only LLM; of this one the decoder reads no soft prompt')
    trains_backbone = config.train_input_encoder and config.user and config.pooling == "attention"
    backbone = query_backbone(encoder) if trains_backbone else None
    return PersonalizedLM(llm, tokenizer, Plug(config, backbone), encoder, facts).eval()


def query_backbone(encoder: Encoder):
    """A trainable copy of an encoder's module, for the plug's input encoder: what it is given are queries.

    Raises:
        InputError: The encoder's vectors are truncated, so the copy's would be wider than the plug.
    """
    if getattr(encoder.module, "truncate_dim", None) is not None:
        told = "cannot be trained as input encoder, because its vectors are truncated"
        raise InputError(f"encoder {encoder.name!r} {told}: use train_input_encoder=False")
    module = copy.deepcopy(encoder.module).requires_grad_(True)
    for part in module.modules():
        if hasattr(part, "default_route"):  # `tokenize` hands tensors on, which do not say that they are of queries
            part.default_route = "query"
    return module
