"""The precision of a run: matrix products in 16 bits if asked for; what trains and the losses in float32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
from accelerate.utils import convert_outputs_to_fp32
from torch import nn

from refl.learning.families import Family
from rewardmodel.learning.errors import PermanentError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d)  # what autocast computes in 16 bits


class Diverged(PermanentError):
    """A gradient is not finite: the weights would be lost."""


def compute_in(family: Family, precision: str) -> None:
    """Make the networks compute in this precision, for good.

    Whatever calls the denoiser or a text encoder gives and gets float32; within, autocast runs the matrix
    products in 16 bits. What trains stays float32. Where matrices train beside a frozen denoiser, frozen
    matrices are held in 16 bits; a pipeline that is saved whole keeps all others as they came. The VAE has
    float32 weights; it decodes in bfloat16, but not in float16, whose range the decoder exceeds.

    Args: precision: a name in DTYPES; float32 changes nothing.
    """
    dtype = DTYPES[precision]
    if dtype == torch.float32:
        return
    is_saved_whole = all(weight.requires_grad for weight in family.denoiser.parameters())
    for network in _denoiser_and_encoders(family):
        _autocast(network, "forward", dtype)
        if not is_saved_whole:
            _hold_frozen(network, dtype)
    if dtype == torch.bfloat16:
        _autocast(family.pipeline.vae, "decode", dtype)


def _denoiser_and_encoders(family: Family) -> Iterator[nn.Module]:
    yield family.denoiser
    for name, component in family.pipeline.components.items():
        if name.startswith("text_encoder") and isinstance(component, nn.Module):
            yield component


def _autocast(network: nn.Module, name: str, dtype: torch.dtype) -> None:
    """Run a network's method under autocast, its outputs in float32.

    Each call has a context of its own: the 16-bit copies of the weights that autocast keeps until its end
    would have no gradient where a call without gradient made them.
    """

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(next(self.parameters()).device.type, dtype):
            return getattr(type(self), name)(self, *args, **kwargs)

    # A method bound to the network, so that a copy of the network calls itself.
    setattr(network, name, MethodType(convert_outputs_to_fp32(call), network))


def _hold_frozen(network: nn.Module, dtype: torch.dtype) -> None:
    for module in network.modules():
        if isinstance(module, MATRICES):
            for weight in module.parameters(recurse=False):
                if not weight.requires_grad:
                    weight.data = weight.data.to(dtype)


class LossScale:
    """What multiplies the loss, so that gradients of float16 activations do not vanish.

    It halves where a gradient overflows, whose step is left out, and doubles after so many steps in a row
    without. 1 and constant in the other precisions.

    Source: Micikevicius et al., arXiv 1710.03740, section 3.2; numbers as in torch.amp.GradScaler.
    """

    INITIAL, GROWTH_INTERVAL = 2.0**16, 2000

    def __init__(self, precision: str) -> None:
        self.is_dynamic = precision == "float16"
        self.value, self.steps = self.INITIAL if self.is_dynamic else 1.0, 0

    def update(self, norm: float) -> None:
        """Follow the norm of a step's gradient. Raises: Diverged where it is not finite at a scale of 1."""
        if math.isfinite(norm):
            self.steps += 1
            if self.is_dynamic and self.steps == self.GROWTH_INTERVAL:
                self.value, self.steps = 2 * self.value, 0
        elif self.value > 1:
            self.value, self.steps = self.value / 2, 0
        else:
            raise Diverged(f"the gradient's norm is {norm}")

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.steps = state["value"], state["steps"]
