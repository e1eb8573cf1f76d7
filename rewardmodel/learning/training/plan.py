"""Which rankings each step of a run learns from, and when it validates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rewardmodel.learning.config import RewardConfig


@dataclass(frozen=True)
class Step:
    """One update of the weights."""

    number: int  # 0..steps - 1
    epoch: int  # 1..epochs
    rankings: list[int]  # indices into the training split
    validates: bool


def plan(pairs: Sequence[int], config: RewardConfig) -> list[Step]:
    """Return every step of the run; the seed alone decides, so a resumed run sees the same batches.

    Args: pairs: of each ranking, how many.
    """
    steps: list[Step] = []
    for epoch in range(1, config.epochs + 1):
        generator = torch.Generator().manual_seed(config.seed + epoch)
        batches = cut_epoch(pairs, config.batch_pairs, generator)
        every = math.ceil(len(batches) / config.validations_per_epoch)
        for left, batch in zip(range(len(batches) - 1, -1, -1), batches, strict=True):
            # at the epoch's end and at even distances before it
            steps.append(Step(len(steps), epoch, batch, validates=left % every == 0))
    return steps


def cut_epoch(pairs: Sequence[int], batch_pairs: int, generator: torch.Generator) -> list[list[int]]:
    """Shuffle rankings, given by index, and cut them into batches of at least batch_pairs pairs.

    The last may have fewer.
    """
    batches: list[list[int]] = []
    size = batch_pairs
    for index in torch.randperm(len(pairs), generator=generator).tolist():
        if size >= batch_pairs:
            batches.append([])
            size = 0
        batches[-1].append(index)
        size += pairs[index]
    return batches
