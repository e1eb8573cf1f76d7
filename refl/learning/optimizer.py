"""The optimizer of a run, and the learning rate of each update."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from refl.learning.config import TuningConfig


def build_optimizer(parameters: Sequence[nn.Parameter], config: TuningConfig) -> torch.optim.AdamW:
    """AdamW, as the released code has it; one for all losses of an update."""
    return torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
    )


def learning_rate(config: TuningConfig, update: int) -> float:
    """Return the rate of update 0..updates - 1: a linear warm-up, then constant, or a line or cosine to 0.

    Source: the schedules of diffusers.optimization, but that the first update of a warm-up is not of rate 0.
    """
    if update < config.warmup_updates:
        return config.learning_rate * (update + 1) / (config.warmup_updates + 1)
    done = (update - config.warmup_updates) / (config.updates - config.warmup_updates)  # 0 up to 1
    match config.learning_rate_schedule:
        case "cosine":
            return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return config.learning_rate * (1 - done)
        case _:
            return config.learning_rate
