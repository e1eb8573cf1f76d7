"""A running average of the weights, which is evaluated and kept in place of the last step's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """The exponential moving average of some parameters.

    torch.optim.swa_utils.AveragedModel would hold a second whole model, frozen layers included, and its first
    update copies the weights where this one averages them with those it started from.

    Source: Polyak and Juditsky, 1992; names as in the package torch_ema.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], decay: float, *, use_num_updates: bool = True
    ) -> None:
        """
        Args:
            decay: 0 up to 1, the share of the average that an update leaves.
            use_num_updates: bound the decay of the n-th update by (1 + n) / (10 + n), as TensorFlow does, so
                that a short run forgets where it began.
        """
        self.parameters = list(parameters)
        self.decay, self.use_num_updates, self.num_updates = decay, use_num_updates, 0
        self.shadow_params: list[Tensor] = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Average in the parameters as they are now."""
        self.num_updates += 1
        decay = self.decay
        if self.use_num_updates:
            decay = min(decay, (1 + self.num_updates) / (10 + self.num_updates))
        for shadow, parameter in zip(self.shadow_params, self.parameters, strict=True):
            shadow.lerp_(parameter, 1 - decay)

    @contextmanager
    def average_parameters(self) -> Iterator[None]:
        """Within, the parameters hold their averages; after it, what they held before."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def copy_to_parameters(self) -> None:
        """Put the averages into the parameters, for good."""
        for shadow, parameter in zip(self.shadow_params, self.parameters, strict=True):
            parameter.copy_(shadow)

    @torch.no_grad()
    def _swap(self) -> None:
        for shadow, parameter in zip(self.shadow_params, self.parameters, strict=True):
            trained = parameter.clone()  # one at a time: never a third copy of all of them
            parameter.copy_(shadow)
            shadow.copy_(trained)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.num_updates, "values": self.shadow_params}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.num_updates = state["updates"]
        for shadow, saved in zip(self.shadow_params, state["values"], strict=True):
            shadow.copy_(saved)
