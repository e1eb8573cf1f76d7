"""How probable it is that one of two is better than the other, and whether that is probable enough.

Both were measured on the same pairs of images. Those of one prompt are dependent, so it is prompts that are
weighted, each with all its pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np

from annotation.statistics.estimates import Floats

DRAWS = 50_000  # so that a probability of 0.95 is off by 0.001 (one standard error)
DECIMALS = 9  # gains that differ by less are rounding
LEAST_PROMPTS = 20  # ours: with fewer prompts no lead is trusted, however clear
PATIENCE = 4  # ours: a lead that wants more than so many times the pairs there are is not worth waiting for


def probability_better(gains: Floats, *, seed: int, draws: int = DRAWS) -> float:
    """Return the probability that the first of two models orders more pairs right than the second.

    The posterior weights of the prompts are Dirichlet distributed (the Bayesian bootstrap); the answer is the
    share of draws in which the weighted sum of gains is above 0, a tie as half. Two prompts that nobody
    measured are added, one of a typical gain and one of as large a loss: the prior, without which two prompts
    that differ the same way would be certainty. Where every prompt that differs does so by the same number,
    this is the sign test's Bayesian form: the posterior Beta(wins + 1, losses + 1).

    Args:
        gains: (P,) of each prompt, pairs that the first orders right less those that the second does.
        seed: the same gains give the same probability.
    Returns: 0 to 1; 0.5 where no prompt differs.
    Source: Rubin, The Bayesian bootstrap, Annals of Statistics 9, 1981; the prior is Ferguson's Dirichlet
        process, Annals of Statistics 1, 1973, of concentration 2.
    """
    differing = gains[gains != 0]
    if not len(differing):
        return 0.5
    typical = math.sqrt(float((differing**2).mean()))
    values, counts = np.unique(
        np.round([*differing, typical, -typical], DECIMALS), return_counts=True
    )  # (V,): equal gains share one weight, a sum of exponentials
    rng = np.random.default_rng(seed)
    sums = rng.standard_gamma(counts.astype(np.float64), size=(draws, len(values))) @ values  # (draws,)
    return float((sums > 0).mean() + (sums == 0).mean() / 2)


def required_size(size: int, probability: float, wanted: float) -> int | None:
    """Return about how many pairs would show the lead at the probability wanted, were it the true one.

    The lead stays and its standard error falls with the root of the pairs, in the normal approximation.

    Args: size: pairs measured, which gave the probability. Returns: None where it is not above 0.5.
    """
    if probability <= 0.5:
        return None
    if probability >= wanted:
        return size
    normal = NormalDist()
    return math.ceil(size * (normal.inv_cdf(wanted) / normal.inv_cdf(probability)) ** 2)


class Decision(StrEnum):
    """Whether the one is better, as far as can be told."""

    BETTER = "better"
    UNDECIDED = "undecided"  # more pairs may tell
    NOT_BETTER = "not better"


@dataclass(frozen=True)
class Lead:
    """What two models differ by on the same pairs: accuracy, and the probability that it is above 0."""

    difference: float
    probability: float
    pairs: int
    prompts: int


@dataclass(frozen=True)
class Rule:
    """How sure one has to be, and on how many pairs at least."""

    probability: float  # 0.5 or more, below 1
    pairs: int

    def decide(self, lead: Lead) -> tuple[Decision, int]:
        """Return the decision, and the pairs that it waits for: 0 where it is made.

        Better is only what leads. On too few pairs, or prompts, only a model that is probably worse is
        decided about. On enough, a lead short of the probability wanted waits for as many pairs as it would
        need were it true, unless those are more than PATIENCE times what there is.
        """
        is_ahead = lead.difference > 0  # of equal models each is better with a probability of 0.5
        probable = lead.probability >= self.probability and is_ahead
        improbable = lead.probability <= 1 - self.probability
        by_prompts = math.ceil(lead.pairs * LEAST_PROMPTS / lead.prompts) if lead.prompts else self.pairs
        least = max(self.pairs, by_prompts if lead.prompts < LEAST_PROMPTS else 0)
        if lead.pairs >= least and probable:
            return Decision.BETTER, 0
        required = required_size(lead.pairs, lead.probability, self.probability)
        hopeless = not is_ahead or required is None or required > PATIENCE * lead.pairs
        if improbable or (lead.pairs >= least and hopeless):
            return Decision.NOT_BETTER, 0
        return Decision.UNDECIDED, max(least, min(required or 0, PATIENCE * lead.pairs))
