"""The consensus of several opinions on one prompt, weighted by their authors' reliability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotation.statistics import davidson
from annotation.statistics.estimates import Floats
from annotation.statistics.panels import Panel

# Ours: strengths are standard normal. A lone opinion on two images then says 64 %, about how often one person
# agrees with another (65 % in the paper's Table 2a).
PRIOR = 1.0


def consensus(by_shape: Sequence[Panel], weights: Floats) -> tuple[dict[int, float], float]:
    """The strength of every image among those of its prompt, and how readily equal images tie anywhere.

    Args: weights: (people,) what an opinion of each counts.
    Returns: image -> strength, in log odds; the tie parameter of `davidson.outcomes`.
    """
    most = max((panel.images.shape[1] for panel in by_shape), default=0)
    tables = [_tables(panel, weights, most) for panel in by_shape]
    if not tables:
        return {}, 1.0
    wins, ties = (np.concatenate(side) for side in zip(*tables, strict=True))
    fitted = davidson.fit(wins, ties, prior=PRIOR, shared_tie=True)
    strengths: dict[int, float] = {}
    start = 0
    for panel in by_shape:
        n, k = panel.images.shape
        own = fitted.strengths[start : start + n, :k]
        strengths |= dict(zip(panel.images.ravel().tolist(), own.ravel().tolist(), strict=True))
        start += n
    return strengths, float(fitted.tie[0])


def _tables(panel: Panel, weights: Floats, most: int) -> tuple[Floats, Floats]:
    """Weighted wins and ties (n, most, most); images that a prompt does not have never met any."""
    first, second = np.triu_indices(panel.images.shape[1], 1)
    verdicts, counted = panel.verdicts, weights[panel.raters][:, :, None]
    wins = np.zeros((len(verdicts), most, most))
    ties = np.zeros_like(wins)
    wins[:, first, second] = ((verdicts > 0) * counted).sum(axis=1)
    wins[:, second, first] = ((verdicts < 0) * counted).sum(axis=1)
    ties[:, first, second] = ties[:, second, first] = ((verdicts == 0) * counted).sum(axis=1)
    return wins, ties
