"""How sure a figure is: prompts are drawn again and again, with all that belongs to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
TOGETHER = 1 << 20  # indices drawn at once: 8 MB, and as much for each number taken by them
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A 95 % bootstrap interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval over prompts, and how much it was taken from."""

    value: float
    low: float
    high: float
    count: int  # pairs, rankings or images: what the figure is a mean of
    prompts: int


def resample(count: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """(RESAMPLES, count) indices, drawn with replacement; some rows (R, count) at a time, to bound memory."""
    chance = np.random.default_rng(seed)
    rows = max(1, TOGETHER // count)
    for start in range(0, RESAMPLES, rows):
        yield chance.integers(0, count, size=(min(rows, RESAMPLES - start), count))


def resampled_shares(parts: Numbers, wholes: Numbers, seed: int) -> Numbers:
    """What the sum of parts is of the sum of wholes, both (P,), in each resample -> (RESAMPLES,)."""
    drawn = resample(len(wholes), seed)
    return np.concatenate([parts[rows].sum(axis=1) / wholes[rows].sum(axis=1) for rows in drawn])


def interval(values: Numbers) -> Interval:
    """From the middle 95 % of what the resamples gave."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def mean_over_prompts(prompt: NDArray[np.int64], values: Numbers, *, seed: int) -> Estimate | None:
    """The mean of the values, with an interval for which prompts are drawn whole; None of no values.

    Args:
        prompt: (N,) which prompt each value belongs to, any whole numbers.
        values: (N,).
    Source: the cluster bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8.
    """
    if not len(values):
        return None
    _, index = np.unique(prompt, return_inverse=True)
    counts = np.bincount(index).astype(np.float64)  # (P,)
    sums = np.asarray(np.bincount(index, weights=values), np.float64)
    found = interval(resampled_shares(sums, counts, seed))
    return Estimate(float(values.mean()), found.low, found.high, len(values), len(counts))
