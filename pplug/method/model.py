"""The frozen LLM with the plug in front: joins the soft prompt and the token embeddings, computes the loss, generates.

*Paper: Eq. 5*, `X = [ I ; P^u ; Emb(x^u) ; Emb(y) ]`. For an encoder-decoder LLM `[ I ; P^u ; Emb(x^u) ]` is the
encoder's input and `y` the decoder's; for a decoder-only LLM all of it is one sequence.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from pplug.base.errors import InputError
from pplug.data.tasks import Task, get_task, task_fact
from pplug.method import serving
from pplug.method.decoding import generate
from pplug.method.embedder import Plug
from pplug.method.encoders import Encoder, load_encoder, query_backbone
from pplug.method.hub import plug_file, push
from pplug.method.joining import join, run
from pplug.method.llm import embedding_norm, load_llm
from pplug.method.plug_config import PlugConfig
from pplug.method.saved import check_weights, facts_of, load_parts, read_plug, write_plug
from pplug.method.user import User, make_users


class PersonalizedLM(nn.Module):
    """A frozen LLM and, if there is one, the plug in front of it.

    Args:
        llm: The LLM, from `load_llm`.
        tokenizer: Its tokenizer.
        plug: The plug; None gives the plain LLM (no personalisation).
        encoder: The text encoder of histories and inputs; needed where texts have to be encoded.
        facts: What to write beside the weights: LLM, encoder, task, data hash.

    Its `state_dict` is the plug's alone, so a checkpoint never holds the LLM.
    """

    _keys_to_ignore_on_save = None  # transformers' Trainer reads both
    accepts_loss_kwargs = True  # that is, `num_items_in_batch`

    def __init__(
        self, llm, tokenizer, plug: Plug | None = None, encoder: Encoder | None = None, facts: dict | None = None
    ):
        super().__init__()
        self.llm, self.tokenizer, self.plug, self.encoder = llm, tokenizer, plug, encoder
        self.facts = facts or {}
        self.checkpointing = False  # compute the LLM's layers again in the backward pass instead of keeping them
        if hasattr(llm, "hf_device_map"):  # it lies on several GPUs: transformers' Trainer is to leave it there
            self.hf_device_map = llm.hf_device_map
        if plug is not None:
            plug.to(llm.device)

    def state_dict(self, *args, **kwargs):
        """The plug's parameters and nothing else."""
        return {} if self.plug is None else self.plug.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        """Load the plug's parameters."""
        return self.plug.load_state_dict(state_dict, strict=strict, assign=assign)

    def train(self, mode: bool = True):
        """Put the plug into training mode; the frozen LLM stays in evaluation mode."""
        super().train(mode)
        self.llm.eval()
        if self.checkpointing and self.llm.supports_gradient_checkpointing:
            from transformers.modeling_layers import GradientCheckpointingLayer

            kind = "activation" if hasattr(self.llm, "activation_checkpointing_enable") else "gradient"  # below 5.23
            if not getattr(self.llm, f"is_{kind}_checkpointing"):
                getattr(self.llm, f"{kind}_checkpointing_enable")()
            for layer in self.llm.modules():  # a layer checkpoints only "in training"; its dropout must stay off
                if isinstance(layer, GradientCheckpointingLayer):
                    layer.training = mode
        return self

    def join(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        query=None,
        history=None,
        history_mask=None,
        before_ids=None,
        before_mask=None,
        history_features=None,
    ) -> tuple[Tensor, Tensor]:
        """Put the soft prompt in front of the input's embeddings, *Paper: Eq. 5*.

        Args:
            input_ids: `[B, T]` int, padded on either side.
            attention_mask: `[B, T]`, 1 where there is a token.
            query: See `embedder.InputEncoder.forward`.
            history: `[B, N, D]` float.
            history_mask: `[B, N]` bool.
            before_ids: `[B, T0]` int, padded on the left: what stands in front of the soft prompt, such as an item as
                text for the paper's *PPlug + Retrieval*, `[ Emb(h_k) ; I ; P^u ; Emb(x^u) ]`.
            before_mask: `[B, T0]`.
            history_features: `[B, N, H]` float, see `embedder.Plug.user_embedding`.

        Returns:
            Embeddings `[B, T0 + tokens + T, H]` and their mask; see `joining.join`.
        """
        soft = None if self.plug is None else self.plug(query, history, history_mask, history_features)
        return join(self.llm, soft, input_ids, attention_mask, before_ids, before_mask)

    def forward(
        self,
        input_ids,
        attention_mask,
        labels,
        query=None,
        history=None,
        history_mask=None,
        before_ids=None,
        before_mask=None,
        num_items_in_batch=None,
    ) -> dict[str, Tensor]:
        """The loss of the target given the soft prompt and the input, *Paper: Eq. 6*.

        Args:
            input_ids: `[B, T]`. For a decoder-only LLM, input and target in one sequence.
            attention_mask: `[B, T]`.
            labels: `[B, T']` int, -100 where there is nothing to predict. For a decoder-only LLM, T' = T.
            query, history, history_mask, before_ids, before_mask: See `join`.
            num_items_in_batch: From Trainer: the target's tokens in the whole batch, of which this may be a part. The
                loss is then this part's share, so that parts and processes add up to the loss of the whole.

        Returns:
            `{"loss", "logits"}`; in training, the loss alone.

        Note:
            The paper sums the loss over tokens, the release takes their mean. It is the mean here: the learning rate
            then does not depend on the length of targets.
        """
        joined, mask = self.join(input_ids, attention_mask, query, history, history_mask, before_ids, before_mask)
        output = run(self.llm, joined, mask, labels)
        loss = output.loss
        if num_items_in_batch is not None:
            own = (labels != -100).sum()
            loss = loss if own == num_items_in_batch else loss * (own / num_items_in_batch)
        if self.training:  # Trainer would make single-precision copies of them, at each step, for nothing
            return {"loss": loss}
        return {"loss": loss, "logits": output.logits}

    @torch.inference_mode()
    def generate_batch(self, batch: dict, **options) -> list[str]:
        """Generate for a batch.

        Args:
            batch: Arguments of `join`; inputs padded on the left for a decoder-only LLM.
            **options: For the LLM's `generate`: `max_new_tokens`, `num_beams`, ... Greedy without; the defaults in
                the LLM's `generation_config.json` are left aside, see `decoding.decoding`.

        Returns:
            B texts, stripped.
        """
        ids = generate(self.llm, self.tokenizer, *self.join(**batch), **options)
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

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
        name = llm if isinstance(llm, str) else getattr(llm, "name_or_path", "") or "unnamed"
        if isinstance(llm, str):
            llm, tokenizer = load_llm(llm)
        elif tokenizer is None:
            raise InputError("an LLM that is loaded already needs its tokenizer: tokenizer=...")
        encoder = load_encoder(encoder) if isinstance(encoder, str) else encoder
        facts = {"task": task_fact(task), "llm": name, "encoder": encoder.name}
        with torch.random.fork_rng(devices=[]):  # the caller's random state stays
            torch.manual_seed(seed)
            return build(llm.eval().requires_grad_(False), tokenizer, encoder, None, facts, **choices)

    @property
    def task(self) -> Task:
        """The task the plug is for.

        Raises:
            InputError: The model was made without one.
        """
        if "task" not in self.facts:
            raise InputError("this model has no task: PersonalizedLM.create(task, ...) makes one that has")
        return get_task(self.facts["task"])

    def user(self, history: Iterable[dict]) -> User:
        """Make a user of a history, to be asked for as often as there are questions.

        Args:
            history: Items with the task's fields, oldest first; may be empty. The plug's `max_history` newest count.

        Raises:
            InputError: Something is no item of the task.
        """
        return next(make_users(self, [history]))

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
        return serving.answer(self, text, user, streamer, batch_size, **options)

    def soft_prompt(self, text: str, user: User) -> Tensor:
        """The soft prompt `[I ; P^u]` of one input, *Paper: Eq. 5*: `[tokens, H]` float32, on the CPU."""
        return serving.soft_prompt(self, text, user)

    def weights(self, text: str, user: User) -> Tensor:
        """The weight of each of the user's items for one input, *Paper: Eq. 3*: `[N]` float32, oldest item first."""
        return serving.weights(self, text, user)

    def prompt_embeds(self, text: str, user: User) -> Tensor:
        """All that the LLM reads, *Paper: Eq. 5*: `[tokens + T, H]` float32, on the CPU, for any engine that takes
        embeddings. A chat template's beginning stands in front of the soft prompt.
        """
        return serving.prompt_embeds(self, text, user)

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether the LLM has an encoder of its own."""
        return bool(self.llm.config.is_encoder_decoder)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the plug alone, as one file `plug.safetensors`: weights, config, and what it was trained with.

        Returns:
            The folder.

        Raises:
            InputError: A weight is not finite; what was saved before is untouched.
        """
        write_plug(Path(folder), self.plug, self.state_dict(), facts_of(self))
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
            folder_or_repo: The folder `save_pretrained` wrote, or the id of a hub repository, `"owner/name"`.
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
    trains_backbone = config.train_input_encoder and config.user and config.pooling == "attention"
    backbone = query_backbone(encoder) if trains_backbone else None
    return PersonalizedLM(llm, tokenizer, Plug(config, backbone), encoder, facts).eval()
