"""The two losses of ReFL."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def reward_loss(rewards: Tensor, ceiling: float) -> Tensor:
    """Mean of relu(ceiling - reward): an image that is good enough is left alone.

    Args:
        rewards: (B,), normalised, higher is better.
        ceiling: in units of the reward; the released code has 2.
    Returns: scalar, not yet weighted.
    Source: ImageReward, arXiv 2304.05977, Algorithm 1 (phi is ReLU); the ceiling is from its ReFL.py.
    """
    return F.relu(ceiling - rewards).mean()


def pretraining_loss(
    output: Tensor, *, latents: Tensor, noise: Tensor, alpha_bar: Tensor, prediction_type: str
) -> Tensor:
    """Mean squared error of the UNet's output, whichever target it was trained for.

    Args:
        output, latents, noise: (B, C, h, w): the UNet's answer, the clean latents, what noised them.
        alpha_bar: (B,), in 0..1, the share of signal at each sample's step.
        prediction_type: as `prediction_target` has it.
    Returns: scalar, not yet weighted.
    Source: Ho et al., arXiv 2006.11239, eq. 14, the pre-training loss of ImageReward's Algorithm 1.
    """
    target = prediction_target(latents, noise, alpha_bar, prediction_type)
    return F.mse_loss(output.float(), target.float())


def prediction_target(latents: Tensor, noise: Tensor, alpha_bar: Tensor, prediction_type: str) -> Tensor:
    """What a UNet should answer: the noise, or the velocity v = sqrt(abar) noise - sqrt(1 - abar) x_0.

    Raises: ValueError for a prediction type other than "epsilon" and "v_prediction".
    Source: Salimans and Ho, arXiv 2202.00512, appendix D (velocity).
    """
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "v_prediction":
        share = alpha_bar.view(-1, 1, 1, 1)  # (B,) -> (B, 1, 1, 1)
        return share.sqrt() * noise - (1 - share).sqrt() * latents
    raise ValueError(f"prediction type {prediction_type!r}: ReFL knows 'epsilon' and 'v_prediction'")
