"""The gain of drawing n images and keeping the one with the highest reward.

Source: ImageReward, arXiv 2304.05977, figure 5: people judge what a scorer picks from 9, 25 and 64 images.
Here the n are drawn from the ranked images, so that people have judged each already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from annotation.statistics.estimates import Estimate, mean_over_prompts
from rewardmodel.learning.data.rankings import Ranking


@dataclass(frozen=True)
class Pick:
    """The mean place that people gave the pick of n images; 1 is best."""

    n: int
    model: Estimate
    people: float  # of the best of the n by people's own places
    chance: float  # of any of the n


def expected_place(rewards: Sequence[float], places: Sequence[int], n: int) -> float:
    """Return the mean place of the highest-rewarded of n images over all choices of n from K; ties by lot.

    The r-th best of K is the best of n in C(K - r, n - 1) of the C(K, n) ways.
    """
    images, total = len(rewards), 0.0
    order = sorted(range(images), key=lambda image: -rewards[image])
    start = 0
    while start < images:
        end = start
        while end < images and rewards[order[end]] == rewards[order[start]]:
            end += 1
        ways = sum(comb(images - 1 - rank, n - 1) for rank in range(start, end))
        total += ways * sum(places[image] for image in order[start:end]) / (end - start)
        start = end
    return total / comb(images, n)


def best_of_n(rewards: Sequence[Sequence[float]], rankings: Sequence[Ranking], *, seed: int) -> list[Pick]:
    """For n from 1 up to the images of a common ranking; the same rankings for every n.

    A common ranking has as many images as at least half of the rankings have; smaller ones are left out.
    """
    most = int(np.median([len(scores) for scores in rewards])) if rewards else 0
    numbers: dict[str, int] = {}
    common = [
        (numbers.setdefault(ranking.prompt, len(numbers)), scores, ranking.places)
        for scores, ranking in zip(rewards, rankings, strict=True)
        if len(scores) >= most
    ]
    prompts = np.array([prompt for prompt, _, _ in common], np.int64)
    picks = []
    for n in range(1, most + 1):
        model = np.array([expected_place(scores, places, n) for _, scores, places in common])
        people = [expected_place([-place for place in places], places, n) for _, _, places in common]
        estimate = mean_over_prompts(prompts, model, seed=seed)
        assert estimate is not None  # most is the median of what there is
        chance = float(np.mean([np.mean(places) for _, _, places in common]))
        picks.append(Pick(n, estimate, float(np.mean(people)), chance))
    return picks
