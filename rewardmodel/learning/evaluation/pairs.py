"""Pairs of images that people put in different places, with a model's margin for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotation.statistics.estimates import Booleans, Estimate, Floats, Integers, mean_over_prompts
from rewardmodel.learning.data.rankings import Ranking


@dataclass(frozen=True)
class Pairs:
    """Non-tied pairs as columns, (N,) each; a pair is right where its margin is above 0."""

    prompt: Integers  # its number, in the order of the rankings
    ranking: Integers  # index of its ranking
    margin: Floats  # reward of the image that people prefer, less the other's
    gap: Integers  # places between the two, 1 and more

    def __len__(self) -> int:
        return len(self.margin)

    def only(self, kept: Booleans) -> Pairs:
        return Pairs(self.prompt[kept], self.ranking[kept], self.margin[kept], self.gap[kept])


def pairs_of(rewards: Sequence[Sequence[float]], rankings: Sequence[Ranking]) -> Pairs:
    """Every pair of images of one ranking in different places. Tied places are no pair.

    Source: the published test script of ImageReward, which leaves such pairs out.
    """
    numbers: dict[str, int] = {}
    prompts, counts = [], []
    margins, gaps = [np.empty(0)], [np.empty(0, np.int64)]
    for scores, ranking in zip(rewards, rankings, strict=True):
        places, values = np.array(ranking.places, np.int64), np.array(scores, np.float64)  # (K,)
        better, worse = np.nonzero(places[:, None] < places[None, :])
        margins.append(values[better] - values[worse])
        gaps.append(places[worse] - places[better])
        prompts.append(numbers.setdefault(ranking.prompt, len(numbers)))
        counts.append(len(better))
    return Pairs(
        np.repeat(np.array(prompts, np.int64), counts),
        np.repeat(np.arange(len(counts)), counts),
        np.concatenate(margins),
        np.concatenate(gaps),
    )


def pair_accuracy(pairs: Pairs, *, seed: int) -> Estimate | None:
    """Share of pairs ordered right, each pair counting alike; a tie that the model predicts is wrong.

    Source: the published test script: a micro average over pairs, so prompts with more images weigh more.
    """
    return mean_over_prompts(pairs.prompt, (pairs.margin > 0).astype(np.float64), seed=seed)


def prompt_accuracy(pairs: Pairs, *, seed: int) -> Estimate | None:
    """The mean of each prompt's own share of pairs ordered right, each prompt counting alike.

    Source: the caption of the paper's Table 3, "averaged per prompt".
    """
    if not len(pairs):
        return None
    prompts, index = np.unique(pairs.prompt, return_inverse=True)
    shares = np.bincount(index, weights=pairs.margin > 0) / np.bincount(index)
    return mean_over_prompts(prompts, shares, seed=seed)


def accuracy_by_group(pairs: Pairs, groups: Integers, *, seed: int) -> list[tuple[int, Estimate]]:
    """Accuracy within each group of pairs, by rising group number; numbers below 0 are no group.

    Args: groups: (N,) the group of each pair.
    """
    estimates = []
    for group in np.unique(groups[groups >= 0]):
        estimate = pair_accuracy(pairs.only(groups == group), seed=seed)
        assert estimate is not None  # a group that occurs has a pair
        estimates.append((int(group), estimate))
    return estimates


def margin_groups(pairs: Pairs, count: int) -> tuple[Integers, list[float]]:
    """Groups of about equally many pairs by how far apart the model puts the two images.

    Returns: the group of each pair; the mean distance of each group.
    """
    distance = np.abs(pairs.margin)
    edges = np.quantile(distance, np.linspace(0, 1, count + 1)[1:-1])
    group = np.searchsorted(edges, distance, side="right").astype(np.int64)
    return group, [float(distance[group == each].mean()) for each in np.unique(group)]
