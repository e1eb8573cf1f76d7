"""Which weights of the denoiser train. Another choice is a class and a line in `config.WEIGHTS`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import nn

    from refl.learning.families import Family


class Trainable(Protocol):
    """The weights of a frozen pipeline that train, how they are stored, and how a result is saved."""

    parameters: list[nn.Parameter]

    def __init__(self, family: Family) -> None:
        """Make the family's denoiser ask for the gradient of these weights."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...

    def save(self, folder: Path) -> None:
        """Save a pipeline that diffusers loads, with these weights in it."""


class AllWeights:
    """All weights of the denoiser, as the paper trains."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.parameters = list(family.denoiser.requires_grad_(True).parameters())

    def state_dict(self) -> dict[str, Any]:
        return self.family.denoiser.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.family.denoiser.load_state_dict(state)

    def save(self, folder: Path) -> None:
        self.family.save(folder)
