"""How far people agree with one another on the rankings that a model is judged by: what it can hope for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np

from annotation.statistics.estimates import Estimate, mean_over_prompts
from rewardmodel.learning.data.rankings import Ranking


def agreement(one: Mapping[Path, int], other: Mapping[Path, int]) -> tuple[float, int]:
    """Of the pairs that `one` orders, how many `other` orders so too, tied ones as half; and those pairs.

    Args: each image's place.
    """
    shared = sorted(one.keys() & other.keys())
    right, pairs = 0.0, 0
    for i, first in enumerate(shared):
        for second in shared[i + 1 :]:
            gap, other_gap = one[first] - one[second], other[first] - other[second]
            if gap:
                pairs += 1
                right += 0.5 if other_gap == 0 else gap * other_gap > 0
    return right, pairs


def agreement_of_prompts(rankings: Sequence[Ranking]) -> dict[str, tuple[float, int]]:
    """Return, of each prompt that several people ranked, the pairs that two order alike and all pairs.

    Every judgement is compared with every other.
    """
    judgements: dict[str, list[dict[Path, int]]] = defaultdict(list)
    for ranking in rankings:
        judgements[ranking.prompt].append(dict(zip(ranking.images, ranking.places, strict=True)))
    agreements = {}
    for prompt, places in judgements.items():
        counted = [agreement(one, other) for one, other in permutations(places, 2)]
        pairs = sum(each for _, each in counted)
        if pairs:
            agreements[prompt] = (sum(right for right, _ in counted), pairs)
    return agreements


def ceiling(rankings: Sequence[Ranking], *, seed: int) -> Estimate | None:
    """The accuracy that people reach on each other's pairs; None where nobody ranked what another did."""
    counted = agreement_of_prompts(rankings)
    prompts = np.repeat(np.arange(len(counted)), [pairs for _, pairs in counted.values()])
    shares = [right / pairs for right, pairs in counted.values()]
    values = np.repeat(shares, [pairs for _, pairs in counted.values()])
    return mean_over_prompts(prompts, values.astype(np.float64), seed=seed)
