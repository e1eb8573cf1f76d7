"""How unsure a reward model is of the order of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations


def mean_pair_entropy(rewards: Sequence[float]) -> float:
    """Return the entropy of the preference, averaged over all pairs of images.

    The model says that the first is preferred with probability sigmoid(margin); the entropy is highest, ln 2,
    where the margin is 0.

    Args: rewards: of the images of one prompt, two or more, as the model outputs them, unscaled.
    Returns: nats, from 0 to ln 2.
    Raises: ValueError for fewer than two images.
    Source: Bradley and Terry, 1952, as in ImageReward's loss; uncertainty sampling, Lewis and Gale, 1994.
    """
    if len(rewards) < 2:
        raise ValueError("the order of fewer than two images is no question")
    entropies = [_entropy(first - second) for first, second in combinations(rewards, 2)]
    return sum(entropies) / len(entropies)


def _entropy(margin: float) -> float:
    """-p ln p - (1-p) ln (1-p) for p = sigmoid(margin), written so that no margin overflows."""
    size = abs(margin)
    likely = 1 / (1 + math.exp(-size))
    return math.log1p(math.exp(-size)) + size * (1 - likely)
