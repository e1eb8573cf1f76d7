"""The precision a run computes in: float32 as the paper has it, or bfloat16 where that loses nothing.

In bfloat16 only the matrix products are; the residual stream, normalisations, head, loss, weights and their
gradients stay float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rewardmodel.learning.config import RewardConfig


def autocast(config: RewardConfig, device: torch.device) -> torch.autocast:
    """The context to call the model in."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16")


def frozen_in_bfloat16(model: nn.Module, called: nn.Module) -> dict[str, Tensor]:
    """Return bfloat16 copies of frozen matrices, by name: autocast would cast these anew at each use.

    Args: called: the part of the model that is called; the rest is left out.
    """
    modules = set(called.modules())
    return {
        f"{name}.{part}": weight.detach().to(torch.bfloat16)
        for name, module in model.named_modules()
        if module in modules and isinstance(module, nn.Linear | nn.Conv2d)
        for part, weight in module.named_parameters(recurse=False)
        if not weight.requires_grad
    }
