"""What more answers would bring: accuracy against how many were learned from, fitted and drawn further.

The form is a power law that levels off, accuracy(n) = a - d (n / n_0)^-c. What a, d and c may be is weighed
on a grid by how well they explain what was measured, so that few points give a wide interval, not a curve
that happens to pass through them.

Source: Hestness et al., Deep learning scaling is predictable, empirically, arXiv 1712.00409; of the families
for learning curves, it extrapolates best: Kolachina et al., Prediction of learning curves in machine
translation, ACL 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_SIZES = 3  # ours: fewer say nothing of how fast a curve levels off
TRAINING_NOISE = 0.01  # ours: two trainings on as many answers differ so much, in the small world
# The grid: a, the accuracy that all answers of the world would give; d, what the smallest size lacks of it;
# c, how fast that is made up. Hestness et al. measured c from 0.07 to 0.35 for what is left of the error, and
# less regular curves fall faster; all in the ranges are taken to be as likely before.
LIMITS = np.linspace(0.5, 1.0, 101)
LACKS = np.linspace(0.0, 0.5, 101)
RATES = np.linspace(0.1, 0.7, 13)
DRAWS = 4000


@dataclass(frozen=True)
class Forecast:
    """Accuracy to expect, with the interval in which 95 of 100 trainings of that size should come."""

    answers: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    """What was measured, and how likely each cell of the grid is after it.

    Attributes:
        sizes: (N,) answers learned from.
        accuracies: (N,) on the same pairs.
        weights: (A, D, C), of sum 1.
    """

    sizes: Floats
    accuracies: Floats
    noise: float
    weights: Floats

    def forecast(self, answers: int) -> Forecast:
        """Return the accuracy to expect of learning from as many answers. Raises: ValueError below 1."""
        if answers < 1:
            raise ValueError(f"a forecast is for 1 answer or more, not {answers}")
        rng = np.random.default_rng(0)
        cells = rng.choice(self.weights.size, size=DRAWS, p=self.weights.ravel())
        a, d, c = (
            values[at]
            for values, at in zip(
                (LIMITS, LACKS, RATES), np.unravel_index(cells, self.weights.shape), strict=True
            )
        )
        drawn = a - d * (answers / self.sizes.min()) ** -c
        low, high = np.percentile(drawn + rng.normal(scale=self.noise, size=DRAWS), [2.5, 97.5])
        return Forecast(answers, float(drawn.mean()), float(low), min(float(high), 1.0))


def fit_learning_curve(
    sizes: Sequence[int], accuracies: Sequence[float], *, noise: float = TRAINING_NOISE
) -> LearningCurve | None:
    """Weigh every curve of the grid by what was measured; None with fewer sizes than `LEAST_SIZES`.

    Args:
        sizes: answers learned from, 1 or more of each training; the same size may come again.
        accuracies: from 0 to 1, of the trainings, on the same pairs.
        noise: standard deviation of an accuracy around the curve.
    Raises: ValueError where their numbers differ, or a size is below 1.
    """
    n, y = np.array(sizes, np.float64), np.array(accuracies, np.float64)
    if len(n) != len(y):
        raise ValueError(f"{len(n)} sizes for {len(y)} accuracies")
    if len(n) and n.min() < 1:
        raise ValueError(f"a training learns from 1 answer or more, not {n.min():g}")
    if len(set(sizes)) < LEAST_SIZES:
        return None
    a, d, c = LIMITS[:, None, None], LACKS[None, :, None], RATES[None, None, :]
    squares = np.zeros((len(LIMITS), len(LACKS), len(RATES)))
    for size, accuracy in zip(n, y, strict=True):
        squares += (accuracy - (a - d * (size / n.min()) ** -c)) ** 2
    log_weights = -squares / (2 * noise**2)
    weights = np.exp(log_weights - log_weights.max())
    return LearningCurve(n, y, noise, weights / weights.sum())
