"""Adam, and the learning rate of each step."""

from __future__ import annotations

import math

import torch
from torch import nn

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.losses import Objective

TIE_LEARNING_RATE = 0.05  # of the tie parameter: one number, which may step further than weights may


def build_optimiser(model: nn.Module, objective: Objective, config: RewardConfig) -> torch.optim.Optimizer:
    """Adam over what trains, as the paper has it; a group's `rate` is relative to the run's learning rate."""
    groups = [{"params": [p for p in model.parameters() if p.requires_grad], "rate": 1.0}]
    if objective.log_tie.requires_grad:
        groups.append({"params": [objective.log_tie], "rate": TIE_LEARNING_RATE / config.learning_rate})
    return torch.optim.Adam(
        groups,
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the run's learning rate for the next step."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["rate"]


def learning_rate(config: RewardConfig, step: int, steps: int) -> float:
    """Return the rate of step 0..steps - 1: a linear warm-up, if any, then half a cosine down to 0."""
    warmup = int(config.warmup * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
