"""A running average of the weights: what is validated and kept in place of the last step's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """The exponential moving average of what trains.

    After n updates the decay is at most (1 + n) / (10 + n), so that a short run forgets where it began.

    Source: Polyak and Juditsky, 1992; the bound on early decays is TensorFlow's `num_updates`.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        """Args: decay: 0 up to 1, the share of the average that an update leaves."""
        self.parameters = list(parameters)
        self.decay, self.updates = decay, 0
        self.values: list[Tensor] = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for value, parameter in zip(self.values, self.parameters, strict=True):
            value.lerp_(parameter, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile the model has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for value, parameter in zip(self.values, self.parameters, strict=True):
            own = parameter.clone()
            parameter.copy_(value)
            value.copy_(own)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        for value, saved in zip(self.values, state["values"], strict=True):
            value.copy_(saved)
