"""A mean with an interval that holds however often one looks, and how many votes a difference needs.

Whoever doubts a mean m bets against it: of a wealth of 1, a fraction f of what may be staked is put on every
observation. Were m the mean, the wealth would be a nonnegative martingale, whatever the distribution of the
observations in 0..1, and would reach 1 / a with probability a at most, at any time (Ville, 1939). The means
that nobody became rich against are the interval, at every moment at once.

The wealth is spread over several fractions from the start. So it does not depend on the order of the
observations, and nothing is tuned on the data.

Sources: Waudby-Smith and Ramdas, 2024, Estimating means of bounded random variables by betting (JRSS B 86),
for capital against a mean from either side and the means that survive; Orabona and Jun, 2024, Tight
concentrations and confidence sequences from the regret of universal portfolio, for mixing fractions; Howard,
Ramdas, McAuliffe and Sekhon, 2021, for confidence sequences at large. The fractions are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from annotation.statistics.estimates import Floats, Interval

# Of the largest stake that may be lost. Small ones find small differences; those below the first would only
# matter for intervals narrower than a hundredth.
FRACTIONS = np.geomspace(0.02, 0.9, 24)
HALF = 0.5  # the mean of votes on equals
HALVINGS = 40  # of an interval's end: nearer than any page shows
POWER = 0.8  # of the test with a fixed number, and the share of studies that `Power.most` is about
LONGEST = 8  # times the fixed number of votes that forecasts reach


def log_wealth(counts: Floats, values: Floats, mean: float) -> Floats:
    """Return the logarithm of the wealth of betting that the mean is larger than `mean`.

    A fraction f of the wealth is multiplied by 1 + f (value - mean) / mean at each observation.

    Args:
        counts: (..., V) how often each value was observed.
        values: (V,) in 0..1.
        mean: above 0.
    Returns: (...); 0 is what one began with.
    """
    growth = np.log1p(FRACTIONS * (values[:, None] - mean) / mean)  # (V, F)
    grown = counts @ growth  # (..., F)
    top = grown.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(grown - top).mean(axis=-1)), np.float64)


def rich(confidence: float) -> float:
    """Return the log wealth that refutes a mean from one side; both sides share the permitted error."""
    return math.log(2 / (1 - confidence))


def confidence_interval(observations: Floats, *, confidence: float) -> Interval:
    """Return the interval of the mean, one of a sequence that holds at every number of observations at once.

    Args:
        observations: (n,), each in 0..1, independent of one another. Answers on one prompt are not: their
            mean is one observation.
        confidence: the probability that every interval of the sequence holds the mean.
    """
    values, counts = np.unique(observations, return_counts=True)
    low = _lower_end(values, counts.astype(np.float64), confidence)
    high = 1 - _lower_end(1 - values, counts.astype(np.float64), confidence)
    return Interval(low, high)


def _lower_end(values: Floats, counts: Floats, confidence: float) -> float:
    """Return the smallest mean that a bet on a larger one did not refute."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):  # the wealth falls as the mean rises
        middle = (low + high) / 2
        is_refuted = len(values) and log_wealth(counts, values, middle) >= rich(confidence)
        low, high = (middle, high) if is_refuted else (low, middle)
    return low


def fixed_votes(rate: float, *, confidence: float) -> int:
    """Return the votes for a two-sided test, looked at once, to find the difference 8 times of 10.

    Args: rate: the share of votes for the better one, above 1/2.
    Source: Fleiss, Levin and Paik, 2003, Statistical Methods for Rates and Proportions, section 2.4, without
        the correction for continuity.
    """
    normal = NormalDist()
    spread = normal.inv_cdf((1 + confidence) / 2) * HALF
    spread += normal.inv_cdf(POWER) * math.sqrt(rate * (1 - rate))
    return math.ceil((spread / (rate - HALF)) ** 2)


@dataclass(frozen=True)
class Power:
    """How many votes it takes to name the better of two, each vote on a prompt of its own.

    Attributes:
        rate: the share of votes for the better one; ties are left out.
        fixed: votes for a test that is looked at once, at its end.
        mean, median: votes after which a study that is looked at after each of them is decided.
        most: votes after which 8 of 10 such studies are decided.
        chance: the probability that a study of the planned number of votes is decided; None without a plan.
        mistaken: the probability that it ever names the worse one.
    """

    rate: float
    fixed: int
    mean: float
    median: int
    most: int
    chance: float | None
    mistaken: float


def power_at(rate: float, *, confidence: float, votes: int | None = None) -> Power:
    """Return how many votes the difference takes; exact, but that a study ends at 8 times the fixed number.

    Args:
        rate: 0.52 to 1.
        votes: the planned number.
    """
    decided, mistaken = _decided_by(rate, confidence)  # (n,)
    return Power(
        rate=rate,
        fixed=fixed_votes(rate, confidence=confidence),
        mean=float(1 + (1 - decided[:-1]).sum()),
        median=int(1 + (decided >= HALF).argmax()),
        most=int(1 + (decided >= POWER).argmax()),
        chance=None if votes is None else float(decided[min(votes, len(decided)) - 1]) if votes else 0.0,
        mistaken=mistaken,
    )


@cache
def _decided_by(rate: float, confidence: float) -> tuple[Floats, float]:
    """Return the probability that a study is decided after 1, 2 ... votes, and that it errs ever.

    The votes of an undecided study are a random walk, whose distribution is carried from vote to vote.
    """
    longest = LONGEST * fixed_votes(rate, confidence=confidence)
    enough = _wins_needed(longest, confidence)
    undecided, decided, mistaken = np.ones(1), np.zeros(longest), 0.0  # by wins: 0, 1 ...
    for number in range(1, longest + 1):
        undecided = np.append(undecided * (1 - rate), 0.0) + np.append(0.0, undecided * rate)
        wins = np.arange(number + 1)
        won, lost = wins >= enough[number - 1], number - wins >= enough[number - 1]
        mistaken += float(undecided[lost].sum())
        undecided[won | lost] = 0.0
        decided[number - 1] = 1 - undecided.sum()
    return decided, mistaken


def _wins_needed(votes: int, confidence: float) -> list[int]:
    """Return how many of 1, 2 ... votes one side needs to be named; more than there are where none can."""
    values, needed, wins = np.array([0.0, 1.0]), [], 0
    for number in range(1, votes + 1):
        while wins <= number:
            counts = np.array([number - wins, wins], np.float64)
            if log_wealth(counts, values, HALF) >= rich(confidence):
                break
            wins += 1
        needed.append(wins)
    return needed
