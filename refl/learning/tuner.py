"""What an update changes: the weights that train, their optimiser, and their moving average."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor

from refl.learning.config import WEIGHTS, TuningConfig
from refl.learning.families import Family
from refl.learning.guards import check_gradient
from refl.learning.weights import Trainable
from rewardmodel.learning.averaging import ExponentialMovingAverage


class Tuner:
    """A pipeline being tuned; a method reads its config and family, and steps with `backward` and `step`.

    The denoiser stays in eval mode: it drops nothing out.
    """

    def __init__(self, config: TuningConfig, family: Family) -> None:
        self.config, self.family = config, family
        family.freeze()
        if config.gradient_checkpointing:
            family.enable_gradient_checkpointing()
        self.weights: Trainable = resolve_name(WEIGHTS[config.weights])(family, config)
        self.optimizer = torch.optim.AdamW(
            self.weights.parameters,
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
        )
        self.average = (
            ExponentialMovingAverage(self.weights.parameters, config.ema, use_num_updates=False)
            if config.ema
            else None
        )

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
            self.average.update()

    def averaged(self) -> AbstractContextManager[None]:
        """Within, the pipeline has the averaged weights, if there are any."""
        return self.average.average_parameters() if self.average else nullcontext()

    def save(self, folder: Path) -> None:
        """Save the tuned pipeline, with the averaged weights if there are any."""
        with self.averaged():
            self.weights.save(folder)

    def state_dict(self) -> dict[str, Any]:
        """Return all that updates have changed. The keys are those of stored checkpoints."""
        return {
            "unet": self.weights.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.shadow_params if self.average else [],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            # How many updates it took decides nothing: its decay is constant.
            self.average.load_state_dict({"updates": 0, "values": state["average"]})
