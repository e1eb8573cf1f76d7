"""The losses of tuning methods, of each sample; a step descends their mean."""

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


def preference_losses(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """-log sigmoid(-beta / 2 (chosen - rejected)): the denoiser should gain most on what people prefer. (B,)

    Args:
        chosen, rejected: (B,), by how much the denoiser's mean squared error on the preferred image, and on
            the other, exceeds its frozen reference's.
        beta: stands for the paper's beta T omega(lambda): every timestep weighs the same.
    Source: Diffusion-DPO, arXiv 2311.12908, eq. 14; mean for sum and the factor 1/2 are its released code's.
    """
    return -F.logsigmoid(-beta / 2 * (chosen - rejected))


def optimality(centred: Tensor, deviation: float) -> Tensor:
    """Map rewards to how good a sample is, in 0..1: 1/2 + 1/2 clip(reward / deviation, -1, 1).

    Args:
        centred: (B, K), each less the mean of its prompt's K samples.
        deviation: of all of them; 0 where all samples of each prompt are alike, which tells nothing: all 1/2.
    Source: DiffusionNFT, arXiv 2509.16117, section 3.3, with the deviation as its Z_c.
    """
    return 0.5 + 0.5 * (centred / deviation if deviation else centred).clamp(-1, 1)


def implicit_policy_losses(new: Tensor, old: Tensor, target: Tensor, shares: Tensor, beta: float) -> Tensor:
    """Mean squared errors of the positive and the negative implicit policy, weighed by how good a sample is.

    r |(1 - beta) old + beta new - target|^2 + (1 - r) |(1 + beta) old - beta new - target|^2

    Args:
        new, old: (B, C, h, w), the denoiser's outputs with the trained weights and with the old policy's.
        target: (B, C, h, w), what the denoiser should predict for the sample.
        shares: (B,), r, in 0..1.
        beta: how far the implicit policies lie from the old one.
    Returns: (B,).
    Source: DiffusionNFT, arXiv 2509.16117, eq. 5, of every timestep weighing the same.
    """
    positive = pretraining_losses((1 - beta) * old + beta * new, target)  # (B,)
    negative = pretraining_losses((1 + beta) * old - beta * new, target)  # (B,)
    return shares * positive + (1 - shares) * negative
