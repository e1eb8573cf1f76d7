"""Figures with confidence intervals over prompts, or the statement that there is too little data.

Answers on one prompt are correlated, so prompts are resampled, each with all its answers: the cluster
bootstrap. The same seed draws the same prompts, however many resamples are taken.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8; Davison and Hinkley, 1997,
section 3.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

ENOUGH_PROMPTS = 10  # ours: fewer clusters than this give bootstrap intervals that are far too narrow
RESAMPLES = 2000
PAGE_RESAMPLES = 1000  # for figures computed while a page loads
TOGETHER = 1 << 20  # indices drawn at once: 8 MB, and as much for each number taken by them

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval over prompts, and its sample size."""

    value: float
    low: float
    high: float
    count: int  # what the figure is a mean of: pairs, rankings or images
    prompts: int


@dataclass(frozen=True)
class NotEnough:
    """No figure, and why, in words for a page."""

    reason: str


def too_few(prompts: int) -> NotEnough:
    """Return that the figure has too few prompts."""
    return NotEnough(f"{prompts} of {ENOUGH_PROMPTS} prompts")


def resample(count: int, *, seed: int, resamples: int = RESAMPLES) -> Iterator[Integers]:
    """Draw `count` of 0..count - 1 with replacement, again and again.

    Returns: (resamples, count) indices, some rows at a time, to bound memory.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, TOGETHER // max(count, 1))
    for start in range(0, resamples, rows):
        yield rng.integers(0, max(count, 1), size=(min(rows, resamples - start), count))


def resampled_shares(parts: Floats, wholes: Floats, *, seed: int) -> Floats:
    """Return the sum of parts by the sum of wholes, both (P,), in each resample -> (RESAMPLES,)."""
    drawn = resample(len(wholes), seed=seed)
    return np.concatenate([parts[rows].sum(axis=1) / wholes[rows].sum(axis=1) for rows in drawn])


def interval(values: Floats) -> Interval:
    """Return the middle 95 % of what the resamples gave."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def mean_over_prompts(prompts: Integers, values: Floats, *, seed: int) -> Estimate | None:
    """Return the mean of the values with its interval over prompts; None without a value.

    Args:
        prompts: (N,) which prompt each value belongs to, any whole numbers.
        values: (N,).
    """
    if not len(values):
        return None
    _, index = np.unique(prompts, return_inverse=True)
    counts = np.bincount(index).astype(np.float64)  # (P,)
    sums = np.asarray(np.bincount(index, weights=values), np.float64)
    ends = interval(resampled_shares(sums, counts, seed=seed))
    return Estimate(float(values.mean()), ends.low, ends.high, len(values), len(counts))


def estimate(value: float, drawn: Floats, prompts: int, count: int) -> Estimate:
    """Return the figure with the interval of what resamples gave; NaN: the resample says nothing."""
    ends = interval(drawn[~np.isnan(drawn)])
    return Estimate(float(value), ends.low, ends.high, count, prompts)


class Resamples:
    """Resamples of the prompts of a page, as weights: all its figures share the draws."""

    def __init__(self, prompts: int, *, seed: int) -> None:
        """Args: prompts: how many there are; they are numbered 0..prompts - 1."""
        self.prompts = prompts
        drawn = (rows for chunk in resample(prompts, seed=seed, resamples=PAGE_RESAMPLES) for rows in chunk)
        self.weights = np.empty(
            (PAGE_RESAMPLES, prompts), np.float32
        )  # (B, prompts): how often each was drawn
        for row, indices in zip(self.weights, drawn, strict=True):
            row[:] = np.bincount(indices, minlength=prompts)

    def ratio(
        self, prompts: Integers, numerators: Floats, denominators: Floats, counts: Floats | None = None
    ) -> Estimate | NotEnough:
        """Sum of numerators by sum of denominators, one row an observation.

        Args:
            prompts: (N,) of each row.
            counts: (N,) observations in each row, where that is not its denominator.
        """
        [figure] = self.ratios(prompts, numerators[:, None], denominators[:, None])
        if counts is None or isinstance(figure, NotEnough):
            return figure
        return replace(figure, count=int(counts.sum()))

    def ratios(
        self, prompts: Integers, numerators: Floats, denominators: Floats
    ) -> list[Estimate | NotEnough]:
        """The same of every column, in one go. Args: numerators, denominators: (N, M)."""
        ids, at = np.unique(prompts, return_inverse=True)
        above, below = (
            np.stack([np.bincount(at, column, len(ids)) for column in columns.T], axis=1)
            for columns in (numerators, denominators)
        )  # (ids, M)
        weights = self.weights[:, ids]
        # In single precision: doubles would copy the weights at twice their size, for digits nobody is shown.
        drawn_above, drawn_below = (weights @ sums.astype(np.float32) for sums in (above, below))  # (B, M)
        figures: list[Estimate | NotEnough] = []
        for column in range(above.shape[1]):
            count, valid = int((below[:, column] > 0).sum()), drawn_below[:, column] > 0
            if count < ENOUGH_PROMPTS:
                figures.append(too_few(count))
                continue
            value = above[:, column].sum() / below[:, column].sum()
            shares = np.asarray(drawn_above[valid, column] / drawn_below[valid, column], np.float64)
            figures.append(estimate(value, shares, count, int(denominators[:, column].sum())))
        return figures
