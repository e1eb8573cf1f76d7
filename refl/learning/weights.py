"""Which weights of the denoiser train. Another choice is a class and a line in `config.WEIGHTS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from peft import LoraConfig

from refl.learning.families.lora import save_lora
from rewardmodel.learning.errors import PermanentError

if TYPE_CHECKING:
    from torch import nn

    from refl.learning.config import TuningConfig
    from refl.learning.families import Family

# The projections of attention in diffusers' UNets and transformers, for image and for text.
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")

REFERENCE = "reference."  # before the name of a weight in the state of a run that older versions began


class NoSuchLayer(PermanentError):
    """The denoiser has no layer of a name that LoRA is to train."""


class Trainable(Protocol):
    """The weights of a frozen pipeline that train, how they are stored, and how a result is saved."""

    parameters: list[nn.Parameter]

    def __init__(self, family: Family, config: TuningConfig) -> None:
        """Make the family's denoiser ask for the gradient of these weights."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...

    def save(self, folder: Path) -> None:
        """Save what diffusers loads: a pipeline with these weights in it, or a LoRA for the pipeline."""


class Reference:
    """A denoiser as it was when this was made, which no update changes: a copy of the weights that train."""

    def __init__(self, weights: Trainable) -> None:
        self.parameters = weights.parameters
        self._values = [parameter.detach().clone() for parameter in self.parameters]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Within, without gradient, the denoiser is that earlier one."""
        self._swap()
        try:
            with torch.no_grad():
                yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for index, parameter in enumerate(self.parameters):
            # The tensor itself, not its values: a graph that was built before still holds its own.
            parameter.data, self._values[index] = self._values[index], parameter.data
        torch.clear_autocast_cache()  # it would go on with the weights of before


class AllWeights:
    """All weights of the denoiser, as the paper trains."""

    def __init__(self, family: Family, config: TuningConfig) -> None:
        self.family = family
        self.parameters = list(family.denoiser.requires_grad_(True).parameters())

    def state_dict(self) -> dict[str, Any]:
        return self.family.denoiser.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.family.denoiser.load_state_dict(
            {name: value for name, value in state.items() if not name.startswith(REFERENCE)}
        )

    def save(self, folder: Path) -> None:
        self.family.save(folder)


class LoRA:
    """Two thin float32 matrices beside each target layer of the denoiser, whose own weights stay.

    They begin as no change.

    Raises: NoSuchLayer.
    Source: Hu et al., LoRA, arXiv 2106.09685.
    """

    def __init__(self, family: Family, config: TuningConfig) -> None:
        self.family = family
        self.denoiser = cast(Any, family.denoiser)  # with the methods of diffusers' PeftAdapterMixin
        self.rank, self.alpha = config.lora_rank, config.lora_alpha or config.lora_rank
        self.layers = _layers(self.denoiser, config.lora_targets)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)  # peft draws on the CPU
            self.denoiser.add_adapter(
                LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=self.layers)
            )
        self._named: dict[str, nn.Parameter] = {}
        for name, parameter in self.denoiser.named_parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()  # peft takes the precision of the layer
                self._named[name.replace(".default.", ".")] = parameter
        self.parameters = list(self._named.values())

    def state_dict(self) -> dict[str, Any]:
        return {name: parameter.detach() for name, parameter in self._named.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, parameter in self._named.items():
            parameter.copy_(state[name])

    def save(self, folder: Path) -> None:
        """Save the LoRA alone, in each of its layouts."""
        save_lora(
            self.family, self.state_dict(), folder, rank=self.rank, alpha=self.alpha, layers=self.layers
        )


def _layers(denoiser: nn.Module, targets: Sequence[str]) -> list[str]:
    """Return the ends of the names of the layers that get matrices. Raises: NoSuchLayer."""
    names = [f".{name}" for name, _ in denoiser.named_modules()]
    ends = {end: any(name.endswith(f".{end}") for name in names) for end in targets or ATTENTION}
    present = [end for end, is_there in ends.items() if is_there]
    missing = [end for end in targets if not ends[end]] or ([] if present else list(ends))
    if missing:
        raise NoSuchLayer(f"lora_targets: {type(denoiser).__name__} has no layer {', '.join(missing)}")
    return present
