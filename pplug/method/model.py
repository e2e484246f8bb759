"""The frozen LLM with the plug in front: joins the soft prompt and the token embeddings, computes the loss, generates.

*Paper: Eq. 5*, `X = [ I ; P^u ; Emb(x^u) ; Emb(y) ]`. For an encoder-decoder LLM `[ I ; P^u ; Emb(x^u) ]` is the
encoder's input and `y` the decoder's; for a decoder-only LLM all of it is one sequence.
"""

import torch
from torch import Tensor, nn

from pplug.base import InputError
from pplug.data import Task, get_task
from pplug.method.decoding import generate
from pplug.method.embedder import Plug
from pplug.method.encoders import Encoder
from pplug.method.joining import can_read_front, join, read_front, run_llm


class PromptedLM(nn.Module):
    """A frozen LLM and, if there is one, the plug in front of it; what users call stands in `personalized.py`.

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
                    for name, share in vars(layer).items():  # BART's and OPT's layers drop out by themselves
                        if "drop" in name and isinstance(share, float):
                            setattr(layer, name, 0.0)
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
        only_targets: bool = False,
        front_once: bool = False,
    ) -> dict[str, Tensor]:
        """The loss of the target given the soft prompt and the input, *Paper: Eq. 6*.

        Args:
            input_ids: `[B, T]`. For a decoder-only LLM, input and target in one sequence.
            attention_mask: `[B, T]`.
            labels: `[B, T']` int, -100 where there is nothing to predict. For a decoder-only LLM, T' = T.
            query, history, history_mask, before_ids, before_mask: See `join`.
            num_items_in_batch: From Trainer: the target's tokens in the whole batch, of which this may be a part. The
                loss is then this part's share, so that parts and processes add up to the loss of the whole.
            only_targets: See `joining.run_llm`; in training always.
            front_once: Read what stands in front of the soft prompt once, without gradient, where the LLM allows it.
                For training a plug alone: what is trained inside the LLM would not learn from there.

        Returns:
            `{"loss", "logits"}`; in training, the loss alone. With `front_once` the logits begin behind what was
            read.

        Note:
            The paper sums the loss over tokens, the release takes their mean. It is the mean here: the learning rate
            then does not depend on the length of targets.
        """
        front = None
        if before_ids is not None and front_once and not self.checkpointing and can_read_front(self.llm):
            rows = zip(before_ids, before_mask.bool(), strict=True)
            front = read_front(self.llm, [ids[kept].tolist() for ids, kept in rows])
            before_ids = before_mask = None
        joined, mask = self.join(input_ids, attention_mask, query, history, history_mask, before_ids, before_mask)
        output = run_llm(self.llm, joined, mask, labels, only_targets or self.training, front)
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

    @property
    def task(self) -> Task:
        """The task the plug is for.

        Raises:
            InputError: The model was made without one.
        """
        if "task" not in self.facts:
            raise InputError("this model has no task: PersonalizedLM.create(task, ...) makes one that has")
        return get_task(self.facts["task"])

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether the LLM has an encoder of its own."""
        return bool(self.llm.config.is_encoder_decoder)
