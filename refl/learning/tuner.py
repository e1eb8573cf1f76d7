"""What an update changes: the weights that train, their optimiser, and their moving average."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor

from refl.learning.config import TuningConfig
from refl.learning.families import Family
from refl.learning.guards import check_gradient
from refl.learning.weights import WEIGHTS, Trainable


class Tuner:
    """A pipeline being tuned; a method reads its config and family, and steps with `backward` and `step`.

    The denoiser stays in eval mode: it drops nothing out.
    """

    def __init__(self, config: TuningConfig, family: Family) -> None:
        self.config, self.family = config, family
        family.freeze()
        if config.gradient_checkpointing:
            family.enable_gradient_checkpointing()
        self.weights: Trainable = resolve_name(WEIGHTS[config.weights])(family)
        self.optimizer = torch.optim.AdamW(
            self.weights.parameters,
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
        )
        self.average = [weight.detach().clone() for weight in self.weights.parameters] if config.ema else []

    def microbatches(self, count: int) -> list[slice]:
        """Cut a batch into parts whose gradients are held in memory one at a time."""
        size = self.config.microbatch_size or count
        return [slice(start, start + size) for start in range(0, count, size)]

    def backward(self, loss: Tensor, weight: float) -> float:
        """Add to the gradient of what trains, and of nothing else: a reward model's weights may ask for one.

        Args: loss: scalar, this microbatch's share of the batch's; weight: what multiplies it.
        Returns: the loss, not weighted.
        """
        torch.autograd.backward(weight * loss, inputs=self.weights.parameters)
        return loss.item()

    def step(self) -> float:
        """Clip the gradient and step. Returns its norm before clipping. Raises: Diverged, nothing moved."""
        norm = torch.nn.utils.clip_grad_norm_(self.weights.parameters, self.config.clip).item()
        check_gradient(norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def update_average(self) -> None:
        """Move the averaged weights, if there are any, towards the trained ones."""
        if self.average:
            trained = [weight.detach() for weight in self.weights.parameters]
            torch._foreach_lerp_(self.average, trained, 1 - self.config.ema)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Meanwhile the pipeline has the averaged weights, if there are any."""
        if not self.average:
            yield
            return
        trained = [weight.detach().clone() for weight in self.weights.parameters]
        self._set_weights(self.average)
        try:
            yield
        finally:
            self._set_weights(trained)

    def save(self, folder: Path) -> None:
        """Save the tuned pipeline, with the averaged weights if there are any."""
        with self.averaged():
            self.weights.save(folder)

    def state_dict(self) -> dict[str, Any]:
        """Return all that updates have changed. The keys are those of stored checkpoints."""
        return {
            "unet": self.weights.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = [weight.to(self.family.device) for weight in state["average"]]

    @torch.no_grad()
    def _set_weights(self, weights: list[Tensor]) -> None:
        torch._foreach_copy_(self.weights.parameters, weights)
