"""Low-rank adapters: a run trains two thin matrices beside each weight, and the result is a plain model.

Source: Hu et al., LoRA, arXiv 2106.09685.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rewardmodel.learning.model.reward import RewardModel

DOWN, UP = "down", "up"  # names of the two matrices, beside `weight` and `bias`


class AdaptedLinear(nn.Module):
    """A linear layer whose weight W counts as W + (alpha / rank) up down. It starts as the layer it was."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.scale = alpha / rank
        self.down = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.up = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        change = F.linear(F.linear(x, self.down), self.up)  # (..., in) -> (..., rank) -> (..., out)
        return F.linear(x, self.weight, self.bias) + self.scale * change

    def merged(self) -> Tensor:
        """Return the weight of the plain layer that does the same: (out, in)."""
        return (self.weight.double() + self.scale * (self.up.double() @ self.down.double())).to(self.weight)


def adapt(model: RewardModel, *, rank: int, alpha: float) -> None:
    """Train adapters in place of the encoders' weights that now train; heads go on training in full.

    Every linear layer of the encoders of which something trains gets one; nothing else of them trains.
    torch's own attention (it pools SigLIP's patches) reads its layer's weight, never calls it and gets none.
    """
    fused = [layer for layer in model.modules() if isinstance(layer, nn.MultiheadAttention)]
    excluded = {id(layer) for part in (*model.heads, *fused) for layer in part.modules()}
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, nn.Linear) or id(layer) in excluded:
            continue
        if any(parameter.requires_grad for parameter in layer.parameters()):
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, AdaptedLinear(layer, rank, alpha))
    model.requires_grad_(False)
    for layer in model.modules():
        if isinstance(layer, AdaptedLinear):
            layer.down.requires_grad_(True)
            layer.up.requires_grad_(True)
    for head in model.heads:
        head.requires_grad_(True)


@torch.no_grad()
def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's weights under their own names, adapters merged into them."""
    weights = model.state_dict()
    for name, layer in model.named_modules():
        if isinstance(layer, AdaptedLinear):
            weights[f"{name}.weight"] = layer.merged()
            del weights[f"{name}.{DOWN}"], weights[f"{name}.{UP}"]
    return weights
