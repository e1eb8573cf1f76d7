"""The ranking loss and the pairs it is made of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def better_than(places: Tensor) -> Tensor:
    """Which image beats which: places (B, K) int, 1 is best, 0 is padding -> (B, K, K) bool, i beats j."""
    real = places > 0
    return (places[:, :, None] < places[:, None, :]) & real[:, :, None] & real[:, None, :]


def margins(rewards: Tensor) -> Tensor:
    """(B, K) -> (B, K, K): i minus j."""
    return rewards[:, :, None] - rewards[:, None, :]


def ranking_loss(
    rewards: Tensor, places: Tensor, pairs: int | None = None, preferred: Tensor | None = None
) -> Tensor:
    """-log sigmoid(better - worse) over all pairs of the batch, ties left out; the mean, as the paper has it.

    Args:
        rewards: (B, K), higher is better.
        places: (B, K) int, 1 is best; equal places tie, 0 is padding.
        pairs: divide by this many pairs instead of the batch's own, so that a pair weighs the same in
            whatever micro-batch it lies.
        preferred: (B, K, K), with what probability i is preferred to j; the loss is then the cross-entropy
            with it. Without it, who stands better is preferred for certain, as in the paper.
    Returns: scalar, in nats.
    Raises: ValueError when no prompt has two images in different places.
    Source: ImageReward, arXiv 2304.05977, the reward model's pairwise loss.
    """
    margin = margins(rewards)  # (B, K, K)
    i_beats_j = better_than(places)
    if not i_beats_j.any():
        raise ValueError("no two images in different places")
    margin = margin[i_beats_j]
    losses = -F.logsigmoid(margin)
    if preferred is not None:  # -p log sigmoid(m) - (1 - p) log sigmoid(-m), whose logarithms differ by m
        losses = losses + (1 - preferred[i_beats_j]) * margin
    return losses.mean() if pairs is None else losses.sum() / pairs
