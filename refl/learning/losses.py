"""The two losses of ReFL, of each sample; a step descends their mean."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def reward_losses(rewards: Tensor, ceiling: float) -> Tensor:
    """relu(ceiling - reward): an image that is good enough is left alone.

    Args:
        rewards: (B,), normalised, higher is better.
        ceiling: in units of the reward; the released code has 2.
    Returns: (B,), not yet weighted.
    Source: ImageReward, arXiv 2304.05977, Algorithm 1 (phi is ReLU); the ceiling is from its ReFL.py.
    """
    return F.relu(ceiling - rewards)


def pretraining_losses(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the denoiser's output, in float32.

    Args: output, target: (B, C, h, w); the target is the family's, noise or velocity.
    Returns: (B,), not yet weighted.
    Source: Ho et al., arXiv 2006.11239, eq. 14, the pre-training loss of ImageReward's Algorithm 1.
    """
    return F.mse_loss(output.float(), target.float(), reduction="none").flatten(1).mean(1)
