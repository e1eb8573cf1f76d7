"""In what precision a run computes: float32 as the paper has it, or bfloat16 where that loses nothing.

In bfloat16 the matrix products are; the residual stream, normalisations, head, loss, weights and their
gradients stay float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rewardmodel.learning.config import RewardConfig


def autocast(config: RewardConfig, device: torch.device) -> torch.autocast:
    """Where the model is called."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16")


def halve_frozen(model: nn.Module, used: nn.Module) -> dict[str, Tensor]:
    """Frozen matrices in bfloat16, by name: autocast casts what does not train anew at each use.

    Args: used: the part of the model that is called; the rest is left as it is.
    """
    called = set(used.modules())
    return {
        f"{name}.{part}": weight.detach().to(torch.bfloat16)
        for name, module in model.named_modules()
        if module in called and isinstance(module, nn.Linear | nn.Conv2d)
        for part, weight in module.named_parameters(recurse=False)
        if not weight.requires_grad
    }
