"""Whether a training learns anything, from its curves. No torch: plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from annotation.statistics import notation
from annotation.statistics.estimates import Interval

Z = 1.96  # of a 95 % interval
CHANCE = 0.5  # of the pairs, ordered right by a coin
LEAST_SHARE = 1 / 3  # of the steps, before which nothing is said; ours
LEAST_LOSSES = 10  # in the first third of the steps and in the last, to compare them; ours


def independent_comparisons(rankings: int, pairs: int) -> float:
    """Return how many pairs would tell as much as these, of which those of one ranking hang together.

    K images make K (K - 1) / 2 pairs, but K - 1 of them already settle the order. Ours.

    Args: pairs: of all rankings together.
    """
    if not rankings:
        return 0.0
    return rankings * (math.sqrt(1 + 8 * pairs / rankings) - 1) / 2


def share_interval(share: float, count: float) -> Interval:
    """Return the 95 % score interval of a share of `count` independent trials, 0 to 1.

    Source: Wilson, 1927.
    """
    spread = Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return Interval(middle - half, middle + half)


def why_nothing_is_learned(
    losses: Sequence[float], accuracies: Sequence[float], *, steps: int, comparisons: float
) -> str:
    """Say in a sentence why the training learns nothing so far; "" where it learns, or it is too early.

    Two signs: no validation was better than chance, or the loss of the last third of the steps is not below
    that of the first third, by Welch's 95 % interval of the difference.

    Args:
        losses: of each step so far.
        accuracies: of each validation so far, share of pairs ordered right.
        steps: of the whole training.
        comparisons: independent ones that an accuracy rests on, as `independent_comparisons` counts them.
    Source: Welch, 1947, for the difference of two means.
    """
    if not accuracies or len(losses) < LEAST_SHARE * steps:
        return ""
    best = max(accuracies)
    if comparisons and (interval := share_interval(best, comparisons)).low <= CHANCE:
        return (
            "no validation was better than chance: the best one ordered "
            f"{notation.percent(best)} of the pairs right "
            f"({notation.percent_interval(interval.low, interval.high)} %)"
        )
    third = len(losses) // 3
    if third < LEAST_LOSSES:
        return ""
    first, last = losses[:third], losses[-third:]
    error = math.sqrt((variance(first) + variance(last)) / third)
    if fmean(first) - fmean(last) <= Z * error:
        begin, end = notation.decimals(fmean(first)), notation.decimals(fmean(last))
        means = f"{begin} in the first {third} steps, {end} in the last"
        return f"the loss does not fall: {means}"
    return ""
