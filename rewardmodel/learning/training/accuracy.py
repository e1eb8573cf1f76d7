"""How many pairs of the validation split a model orders right, with an interval over its prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotation.statistics.estimates import ENOUGH_PROMPTS, interval, resampled_shares


def accuracy_over_prompts(
    counts: Sequence[tuple[str, int, int]],
) -> tuple[float, tuple[float, float] | None]:
    """Return the share of pairs that are ordered right, and its 95 % interval, which more calls repeat.

    Args: counts: of each ranking its prompt, its pairs ordered right, and all its pairs; in any order.
    Returns: no interval with fewer than 10 prompts.
    Source: the bootstrap over prompts of `annotation.statistics.estimates`.
    """
    prompts, index = np.unique([prompt for prompt, *_ in counts], return_inverse=True)
    sums = np.zeros((2, len(prompts)))
    np.add.at(sums.T, index, [each[1:] for each in counts])
    right, pairs = sums  # (P,) each
    accuracy = float(right.sum() / pairs.sum())
    if len(prompts) < ENOUGH_PROMPTS:
        return accuracy, None
    ends = interval(resampled_shares(right, pairs, seed=0))
    return accuracy, (ends.low, ends.high)
