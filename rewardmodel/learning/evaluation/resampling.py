"""How sure a figure is: prompts are drawn again and again, with all that belongs to each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
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


def resample(count: int, seed: int) -> NDArray[np.int64]:
    """(RESAMPLES, count) indices, drawn with replacement."""
    return np.random.default_rng(seed).integers(0, count, size=(RESAMPLES, count))


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
    sums = np.bincount(index, weights=values)
    drawn = resample(len(counts), seed)  # (RESAMPLES, P)
    found = interval(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return Estimate(float(values.mean()), found.low, found.high, len(values), len(counts))
