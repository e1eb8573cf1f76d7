"""Figures with the interval they are sure to, over prompts; or the statement that there is too little."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

ENOUGH_PROMPTS = 10  # ours: fewer clusters than this give bootstrap intervals that are far too narrow
RESAMPLES = 1000

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval, and how many prompts and observations it rests on."""

    value: float
    low: float
    high: float
    prompts: int
    count: int


@dataclass(frozen=True)
class NotEnough:
    """No figure, and why, in words for a page."""

    reason: str


def too_few(prompts: int) -> NotEnough:
    """So few prompts bear on the figure that none is given."""
    return NotEnough(f"{prompts} of {ENOUGH_PROMPTS} prompts")


class Resamples:
    """Prompts drawn with replacement, again and again; all figures of a page share the draws.

    What was said of one prompt hangs together, so prompts are drawn, not pairs (a cluster bootstrap: Davison
    and Hinkley, 1997, section 3.8).
    """

    def __init__(self, prompts: int, *, seed: int, count: int = RESAMPLES) -> None:
        """Args: prompts: how many there are; they are numbered 0..prompts - 1."""
        generator = np.random.default_rng(seed)
        self.prompts = prompts
        self.weights = np.empty((count, prompts), np.float32)  # (B, prompts): how often each was drawn
        for row in self.weights:
            row[:] = np.bincount(generator.integers(0, max(prompts, 1), prompts), minlength=prompts)

    def ratio(
        self, prompts: Integers, numerators: Floats, denominators: Floats, counts: Floats | None = None
    ) -> Estimate | NotEnough:
        """Sum of numerators by sum of denominators, one row an observation.

        Args:
            prompts: (N,) of each row.
            counts: (N,) observations in each row, where that is not its denominator.
        """
        [found] = self.ratios(prompts, numerators[:, None], denominators[:, None])
        if counts is None or isinstance(found, NotEnough):
            return found
        return replace(found, count=int(counts.sum()))

    def ratios(
        self, prompts: Integers, numerators: Floats, denominators: Floats
    ) -> list[Estimate | NotEnough]:
        """The same of every column, in one go. Args: numerators, denominators: (N, M)."""
        involved, at = np.unique(prompts, return_inverse=True)
        above, below = (
            np.stack([np.bincount(at, column, len(involved)) for column in columns.T], axis=1)
            for columns in (numerators, denominators)
        )  # (involved, M)
        weights = self.weights[:, involved]
        # In single precision: doubles would copy the weights at twice their size, for digits nobody is shown.
        drawn_above, drawn_below = (weights @ sums.astype(np.float32) for sums in (above, below))  # (B, M)
        found: list[Estimate | NotEnough] = []
        for column in range(above.shape[1]):
            bearing, some = int((below[:, column] > 0).sum()), drawn_below[:, column] > 0
            if bearing < ENOUGH_PROMPTS:
                found.append(too_few(bearing))
                continue
            value = above[:, column].sum() / below[:, column].sum()
            shares = np.asarray(drawn_above[some, column] / drawn_below[some, column], np.float64)
            found.append(estimate(value, shares, bearing, int(denominators[:, column].sum())))
        return found


def estimate(value: float, drawn: Floats, prompts: int, count: int) -> Estimate:
    """The figure with the middle 95 % of what resamples gave (NaN: the resample says nothing)."""
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high), prompts, count)
