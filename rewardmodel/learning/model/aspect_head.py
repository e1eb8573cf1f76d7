"""Heads beside the reward's: what people would rate an image, and what problems they would tick."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rewardmodel.learning.model.aspects import PROBLEMS, RATINGS, questions


class AspectHead(nn.Module):
    """The log odds of each question of one aspect. All start alike for every image.

    The six questions of a rating share one weight and differ in their biases alone, so that what makes one
    more likely makes all more likely. Problems have a weight each. As the reward's head it computes in what
    its weights are held in.

    Source: the shared weight is CORAL's: Cao, Mirjalili and Raschka, arXiv 1901.07884, section 3.3.
    """

    def __init__(self, aspect: str, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1 if aspect in RATINGS else questions(aspect), width))
        self.bias = nn.Parameter(torch.zeros(questions(aspect)))

    @torch.no_grad()
    def start_at(self, shares: Sequence[float]) -> None:
        """Say these probabilities of every image. Args: shares: of each question, above 0 and below 1."""
        self.bias.copy_(torch.tensor(shares).logit())

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, questions)."""
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.to(self.weight.dtype), self.weight) + self.bias


def expected_rating(logits: Tensor) -> Tensor:
    """(N, 6) -> (N,), from 1 to 7: the mean over ratings is 1 and the probability of each step above it."""
    return 1 + logits.sigmoid().sum(dim=-1)


def described(logits: dict[str, Tensor]) -> list[dict[str, float | dict[str, float]]]:
    """Each image's expected ratings, and the probability of each problem by its name.

    Args: logits: of each aspect, (N, questions).
    """
    columns: dict[str, list[float] | list[dict[str, float]]] = {}
    for aspect, own in logits.items():
        if aspect in RATINGS:
            columns[aspect] = expected_rating(own.float()).tolist()
        else:
            columns[aspect] = [
                dict(zip(PROBLEMS, row, strict=True)) for row in own.float().sigmoid().tolist()
            ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
