"""What moves the weights, and at what rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.training.objective import TIE_RATE, Objective


def build_optimiser(model: nn.Module, objective: Objective, config: RewardConfig) -> torch.optim.Optimizer:
    """Adam over what trains, as the paper has it; each group has its `rate`, relative to the run's."""
    groups = [{"params": [p for p in model.parameters() if p.requires_grad], "rate": 1.0}]
    if objective.log_tie.requires_grad:
        groups.append({"params": [objective.log_tie], "rate": TIE_RATE / config.learning_rate})
    return torch.optim.Adam(
        groups,
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step go at this learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["rate"]


def learning_rate(config: RewardConfig, step: int, steps: int) -> float:
    """The rate of step 0..steps - 1: a linear warm-up if any, then half a cosine down to 0."""
    warmup = int(config.warmup * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
