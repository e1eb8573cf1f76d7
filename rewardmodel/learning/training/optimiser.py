"""What moves the weights, and at what rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from rewardmodel.learning.config import RewardConfig


def build_optimiser(model: nn.Module, config: RewardConfig) -> torch.optim.Optimizer:
    """Adam over what trains, as the paper has it."""
    return torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
    )


def learning_rate(config: RewardConfig, step: int, steps: int) -> float:
    """The rate of step 0..steps - 1: a linear warm-up if any, then half a cosine down to 0."""
    warmup = int(config.warmup * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
