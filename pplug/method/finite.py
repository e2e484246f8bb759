"""A training ends at the first number that is not finite, before a step or a checkpoint can keep it."""

import functools
import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from pplug.base import InputError


def stop_where_not_finite(trainer, plug: nn.Module, learning_rate: float) -> None:
    """Have a transformers Trainer check losses, gradients, dev losses, and weights before they are saved.

    Args:
        trainer: Changed in place. Each check waits for the device, as Trainer's own filter for such losses does.
        plug: What it trains.
        learning_rate: Its peak, which the error names.
    """

    def step(take: Callable, *given, **more) -> Tensor:
        loss, number = take(*given, **more), trainer.state.global_step + 1
        check("the loss", float(loss), number, learning_rate)
        gradients = [weight.grad for weight in plug.parameters() if weight.grad is not None]
        check("the gradient's length", float(get_total_norm(gradients)), number, learning_rate)
        return loss

    def evaluate(take: Callable, *given, **more) -> dict:
        metrics = take(*given, **more)
        check("the dev loss", metrics["eval_loss"], trainer.state.global_step, learning_rate)
        return metrics

    def save(take: Callable, *given) -> None:
        check_finite_weights(plug, trainer.state.global_step, learning_rate)
        take(*given)

    trainer.training_step = functools.partial(step, trainer.training_step)
    trainer.evaluate = functools.partial(evaluate, trainer.evaluate)
    trainer._save_checkpoint = functools.partial(save, trainer._save_checkpoint)


def check_finite_weights(plug: nn.Module, step: int, learning_rate: float) -> None:
    """Check that weights are finite, and so small that their length is.

    Raises:
        InputError: They are not.
    """
    length = get_total_norm([weight.detach() for weight in plug.parameters()])
    check("the weights' length", float(length), step, learning_rate)


def check(what: str, value: float, step: int, learning_rate: float) -> None:
    """Check one number of a training.

    Raises:
        InputError: It is not finite.
    """
    if not math.isfinite(value):
        raise InputError(
            f"step {step}: {what} is {value}, and the training is stopped: expected a learning rate that this LLM can "
            f"bear, lower than {learning_rate:g}, or an LLM and vectors whose own numbers are finite"
        )
