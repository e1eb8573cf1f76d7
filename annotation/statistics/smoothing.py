"""A smooth line through a noisy curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPAN = 1 / 3  # ours: share of the points that a window holds
FEWEST = 9  # ours: points of a window; a curve with fewer is not smoothed
ANCHORS = 64  # ours: points at which lines are fitted, straight between them; more cannot be told apart
FITS = 3  # the first, and two robust ones
DOUBTFUL = 6.0  # median absolute residuals from which a point counts for nothing

Floats = NDArray[np.float64]


def smooth(x: Floats, y: Floats) -> Floats | None:
    """Fit a straight line to the third of the points around each, the nearer ones weighing more.

    No lag, and no bend towards the middle at the ends; a point far off all others does not pull the line.

    Args: x: (N,) ascending, no two equal; y: (N,) finite.
    Returns: (N,) the lines' heights; None with fewer than 9 points.
    Source: Cleveland, Robust Locally Weighted Regression and Smoothing Scatterplots, JASA 74, 1979.
    """
    if len(x) < FEWEST:
        return None
    anchors = x[np.linspace(0, len(x) - 1, min(len(x), ANCHORS)).round().astype(int)]  # (A,)
    near = tricube(anchors, x, window=max(FEWEST, round(SPAN * len(x))))  # (A, N)
    trust = np.ones(len(x))  # (N,)
    line = y
    for _ in range(FITS):
        heights = _fit_lines(anchors, x, y, near * trust)  # (A,)
        is_line = np.isfinite(heights)
        line = np.interp(x, anchors[is_line], heights[is_line])  # (N,)
        residuals = np.abs(y - line)
        scale = DOUBTFUL * np.median(residuals)
        if scale == 0:  # most points lie on the line: there is no telling how far the others may be off it
            break
        trust = np.clip(1 - (residuals / scale) ** 2, 0, None) ** 2
    return line


def tricube(anchors: Floats, x: Floats, window: int) -> Floats:
    """Return how much each point weighs in the fit at each anchor: 1 at the anchor, 0 outside its window.

    Args: anchors: (A,); x: (N,); window: how many points it holds, at most N; the furthest weighs nothing.
    Returns: (A, N).
    """
    distances = np.abs(anchors[:, None] - x)  # (A, N)
    reach = np.partition(distances, window - 1, axis=1)[:, window - 1 : window]  # (A, 1)
    return np.asarray((1 - np.minimum(distances / reach, 1) ** 3) ** 3, np.float64)


def _fit_lines(anchors: Floats, x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return the height at each anchor of the line fitted with its weights.

    Args: weights: (A, N).
    Returns: (A,), NaN where fewer than two points weigh anything.
    """
    offsets = x - anchors[:, None]  # (A, N)
    weighted = weights * offsets
    total, first, second = weights.sum(1), weighted.sum(1), (weighted * offsets).sum(1)  # (A,) each
    spread = total * second - first**2
    is_line = spread > 1e-9 * total * second
    heights = second * (weights @ y) - first * (weighted @ y)
    return np.where(is_line, heights / np.where(is_line, spread, 1), np.nan)
