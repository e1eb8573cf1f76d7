"""Spearman's correlation of ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return the correlation of the ranks, equal values sharing theirs; None where all are equal.

    Source: Spearman, 1904; the last row of the paper's Table 1.
    """
    ranks = [mean_ranks(values) for values in (x, y)]
    if any(np.ptp(values) == 0 for values in ranks):
        return None
    table = np.asarray(np.corrcoef(ranks), np.float64)
    return float(table[0, 1])


def mean_ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, 1 for the smallest; equal values have the mean of their ranks."""
    table = np.asarray(values, np.float64)
    return [float((table < value).sum() + ((table == value).sum() + 1) / 2) for value in table]
