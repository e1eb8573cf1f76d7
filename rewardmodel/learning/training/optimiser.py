"""Adam, and the learning rate of each step."""

from __future__ import annotations

import math

import torch
from torch import nn

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.losses import Objective
from rewardmodel.learning.model.heads import ArtifactHead

# Ours. Heads that look on at patches are small, start fresh and can spoil nothing: they may step further than
# weights that were pretrained.
ARTIFACT_LEARNING_RATE = 2e-3
TIE_LEARNING_RATE = 0.05  # of the tie parameter: one number, which may step further than weights may


def build_optimiser(model: nn.Module, objective: Objective, config: RewardConfig) -> torch.optim.Optimizer:
    """Adam over what trains, as the paper has it; a group's `rate` is relative to the run's learning rate."""
    heads = [head for head in model.modules() if isinstance(head, ArtifactHead)]
    in_heads = [parameter for head in heads for parameter in head.parameters()]
    apart = {id(parameter) for parameter in in_heads}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in apart]
    groups = [{"params": others, "rate": 1.0}]
    if in_heads:
        groups.append({"params": in_heads, "rate": ARTIFACT_LEARNING_RATE / config.learning_rate})
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
