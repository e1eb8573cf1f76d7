"""Strengths from comparisons with ties: Bradley and Terry's model, extended by Davidson.

P(i beats j) is in proportion to exp(d / 2), P(j beats i) to exp(-d / 2) and a tie to `tie`, where d is the
difference of their strengths (Davidson, 1970, On extending the Bradley-Terry model to accommodate ties).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotation.statistics.estimates import Floats

ROUNDS = 100
CLOSE = 1e-7
LONGEST_STEP = 1.0  # of a strength in one round: Newton's method overshoots where one wins nearly always
TIE_PRIOR = 0.5  # ours: so many ties, and as many decisions, are added, so that the share of ties is never 0


@dataclass(frozen=True)
class Strengths:
    """`strengths` (B, K) are log odds, 0 on average; `tie` (B,) is how readily equals tie: 0 never."""

    strengths: Floats
    tie: Floats

    def preferred(self) -> Floats:
        """(B, K, K): probability that i is preferred to j, a tie counted as half."""
        win, draw = outcomes(_margins(self.strengths), self.tie[:, None, None])
        return win + draw / 2


def outcomes(margins: Floats, tie: Floats) -> tuple[Floats, Floats]:
    """Probabilities that the stronger by `margins` wins, and that the two tie."""
    up, down = np.exp(margins / 2), np.exp(-margins / 2)
    every = up + down + tie
    return up / every, tie / every


def fit(wins: Floats, ties: Floats, *, prior: float, shared_tie: bool = False) -> Strengths:
    """The most likely strengths of B sets of K items, each set by itself.

    Args:
        wins: (B, K, K) how often i beat j, whole or weighted.
        ties: (B, K, K) how often i and j tied; symmetric.
        prior: precision of the normal distribution around 0 that strengths come from. It keeps who never lost
            at a finite strength; what was never compared gets 0.
        shared_tie: all sets tie equally readily.
    """
    strengths = np.zeros(wins.shape[:2])
    tie = np.ones(len(wins))
    met = wins + wins.transpose(0, 2, 1) + ties
    scored = (wins.sum(axis=2) - wins.sum(axis=1)) / 2  # (B, K): wins less losses
    for _ in range(ROUNDS):
        step = _strengths_step(strengths, tie, met, scored, prior)
        strengths = strengths + step
        before, tie = tie, _tie(strengths, tie, met, ties, shared_tie)
        if max(np.abs(step).max(initial=0), np.abs(np.log(tie / before)).max(initial=0)) < CLOSE:
            break
    return Strengths(strengths - strengths.mean(axis=1, keepdims=True), tie)


def information(fitted: Strengths, met: Floats, *, prior: float) -> Floats:
    """The curvature of the log likelihood with its priors, at its top, of one set: (K + 1, K + 1).

    The last row and column are those of the logarithm of `tie`. The statistics of a comparison are half of
    +1, -1 or 0 for i, less that for j, and whether it was a tie; their covariance is its information.

    Args:
        fitted: of one set: (1, K).
        met: (K, K) how often i and j were compared; symmetric.
        prior: as `fit` has it.
    """
    [strengths], [tie] = fitted.strengths, fitted.tie
    win, draw = outcomes(_margins(strengths[None])[0], tie)
    expected = win - win.T
    spread = met * (1 - draw - expected**2) / 4
    size, own = len(strengths), tie / (2 + tie)
    matrix = np.zeros((size + 1, size + 1))
    matrix[:size, :size] = np.diag(spread.sum(axis=1) + prior) - spread
    matrix[:size, size] = matrix[size, :size] = -(met * expected * draw).sum(axis=1) / 2
    matrix[size, size] = (met * draw * (1 - draw)).sum() / 2 + 2 * TIE_PRIOR * own * (1 - own)
    return matrix


def scores(fitted: Strengths) -> tuple[Floats, Floats]:
    """What one comparison adds to the gradient of the log likelihood, of one set: (K, K, 3) twice.

    Returns: for i, the negative of which is for j; and for the logarithm of `tie`: where i won, lost, tied.
    """
    win, draw = outcomes(_margins(fitted.strengths)[0], fitted.tie[0])
    expected = win - win.T
    of_strength = np.stack([(1 - expected) / 2, (-1 - expected) / 2, -expected / 2], axis=-1)
    of_tie = np.stack([-draw, -draw, 1 - draw], axis=-1)
    return of_strength, of_tie


def _strengths_step(strengths: Floats, tie: Floats, met: Floats, scored: Floats, prior: float) -> Floats:
    """Newton's step of the log likelihood, which is concave: (B, K)."""
    margins = _margins(strengths)
    win, draw = outcomes(margins, tie[:, None, None])
    expected = win - win.transpose(0, 2, 1)  # the mean of +1 for a win and -1 for a loss
    gradient = scored - (met * expected).sum(axis=2) / 2 - prior * strengths
    spread = met * (1 - draw - expected**2) / 4  # (B, K, K): the variance of that, for each i and j
    curvature = -spread
    at = np.arange(strengths.shape[1])
    curvature[:, at, at] += spread.sum(axis=2) + prior
    step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
    return np.asarray(np.clip(step, -LONGEST_STEP, LONGEST_STEP), np.float64)


def _tie(strengths: Floats, tie: Floats, met: Floats, ties: Floats, shared: bool) -> Floats:
    """The tie parameter that makes as many ties likely as there were, one Newton step of its logarithm."""
    _, draw = outcomes(_margins(strengths), tie[:, None, None])
    excess = ((ties - met * draw).sum(axis=(1, 2))) / 2
    spread = (met * draw * (1 - draw)).sum(axis=(1, 2)) / 2
    if shared:
        excess, spread = np.full_like(excess, excess.sum()), np.full_like(spread, spread.sum())
    own = tie / (2 + tie)  # the share of ties between equals, for the prior's two comparisons
    excess = excess + TIE_PRIOR - 2 * TIE_PRIOR * own
    spread = spread + 2 * TIE_PRIOR * own * (1 - own)
    return np.asarray(tie * np.exp(np.clip(excess / spread, -LONGEST_STEP, LONGEST_STEP)), np.float64)


def _margins(strengths: Floats) -> Floats:
    """(B, K) -> (B, K, K): i minus j."""
    return strengths[:, :, None] - strengths[:, None, :]
