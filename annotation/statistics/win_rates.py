"""Win rates of two items by votes, with an interval that holds however often one looks."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from annotation.statistics.estimates import Booleans, Floats, Integers, Interval
from annotation.statistics.sequential import HALF, confidence_interval


@dataclass(frozen=True)
class WinRate:
    """The votes on two items, and how often the first is preferred.

    Attributes:
        wins, losses, ties: all votes, for the first. The wins are the paper's #Win (ImageReward, Table 1).
        prompts: those that the rate is a mean over.
        value: the mean over prompts of the share of votes for the first, ties as half; None without any.
        interval: of the rate.
    """

    wins: int
    losses: int
    ties: int
    prompts: int
    value: float | None
    interval: Interval

    @property
    def votes(self) -> int:
        return self.wins + self.losses + self.ties


def win_rate(prompts: Integers, votes: Floats, complete: Booleans, *, confidence: float) -> WinRate:
    """Return the win rate, of which each prompt is one observation: votes on one prompt are dependent.

    A prompt counts once all its votes are in, so that no vote is counted before it is known how many share
    its prompt.

    Args:
        prompts: (N,) of each vote, any whole numbers.
        votes: (N,) 1 where the first item won, 0 where the second did, 1/2 for a tie.
        complete: (N,) whether the vote counts: its prompt has all its votes.
    """
    index = np.unique(prompts[complete], return_inverse=True)[1]
    means = np.bincount(index, votes[complete]) / np.maximum(np.bincount(index), 1)  # (prompts,)
    return WinRate(
        wins=int((votes > HALF).sum()),
        losses=int((votes < HALF).sum()),
        ties=int((votes == HALF).sum()),
        prompts=len(means),
        value=float(means.mean()) if len(means) else None,
        # Rounded, so that sums in another order give the same interval.
        interval=confidence_interval(means.round(12), confidence=confidence),
    )


def each_confidence(confidence: float, items: int) -> float:
    """Return the confidence of each interval of two items, so that all together have this one.

    The permitted error is shared by every two (Bonferroni).
    """
    return 1 - (1 - confidence) / comb(items, 2)


def verdict(interval: Interval, *, margin: float) -> str:
    """Return what the interval of a win rate says: "better", "worse", "equal", or "open" so far.

    Args: margin: equal, where the whole interval is so near one half.
    """
    if interval.low > HALF:
        return "better"
    if interval.high < HALF:
        return "worse"
    is_near = HALF - margin <= interval.low and interval.high <= HALF + margin
    return "equal" if is_near else "open"
