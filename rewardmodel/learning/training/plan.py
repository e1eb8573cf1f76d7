"""Which rankings each step of a run learns from, and when it validates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.rankings import Ranking


@dataclass(frozen=True)
class Step:
    """One update of the weights."""

    number: int  # 0..steps - 1
    epoch: int  # 1..epochs
    rankings: list[int]  # where they stand in the training split
    validates: bool


def plan(pairs: Sequence[int], config: RewardConfig) -> list[Step]:
    """Every step of the run; the seed alone decides, so a resumed run sees the same batches.

    Args: pairs: how many each ranking has.
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
    """Shuffle rankings, known by where they stand, and cut into batches of at least batch_pairs pairs.

    The last has perhaps fewer.
    """
    batches: list[list[int]] = []
    held = batch_pairs
    for index in torch.randperm(len(pairs), generator=generator).tolist():
        if held >= batch_pairs:
            batches.append([])
            held = 0
        batches[-1].append(index)
        held += pairs[index]
    return batches


def micro_batches(rankings: Iterable[Ranking], images: int) -> Iterator[list[Ranking]]:
    """Cut a batch into parts of at most so many images, though of one ranking at least."""
    part: list[Ranking] = []
    size = 0
    for ranking in rankings:
        if part and size + len(ranking.images) > images:
            yield part
            part, size = [], 0
        part.append(ranking)
        size += len(ranking.images)
    if part:
        yield part
