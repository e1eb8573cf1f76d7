"""How often two judges prefer the same image: the paper's agreement analysis (ImageReward, Table 2a).

A judge is a person, numbered from 0, the ensemble (the majority of the annotators) or the reward model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from annotation.statistics.estimates import Booleans, Estimate, Floats, Integers, NotEnough, Resamples
from annotation.statistics.panels import Panel

ENSEMBLE, MODEL = -1, -2  # judges that are not people
MAJORITY = 2  # fewest annotators of an ensemble

# What two judges said of the pairs of one prompt: columns of a tally.
SAME, OPPOSITE, FIRST_TIES, SECOND_TIES, BOTH_TIE = range(5)

Fraction = tuple[Floats, Floats]
Measure = Literal["strict", "half", "tau"]


def tally(first: Floats, second: Floats) -> Floats:
    """Count pairs by two judges' verdicts: (..., P) twice -> (..., 5). Unknown verdicts are ignored."""
    decided = np.abs(first * second) == 1
    kinds = (
        decided & (first == second),
        decided & (first != second),
        (first == 0) & (np.abs(second) == 1),
        (np.abs(first) == 1) & (second == 0),
        (first == 0) & (second == 0),
    )
    return np.stack([kind.sum(axis=-1) for kind in kinds], axis=-1).astype(np.float64)


def strict(tallies: Floats) -> Fraction:
    """Share of the same preference, among the pairs that neither judge calls a tie."""
    same, opposite = tallies[..., SAME], tallies[..., OPPOSITE]
    return same, same + opposite


def ties_as_half(tallies: Floats) -> Fraction:
    """All pairs: 1 for the same verdict, a tie included, 1/2 where only one judge calls a tie.

    Source: the accuracy of Pick-a-Pic (Kirstain et al., arXiv 2305.01569).
    """
    one_ties = tallies[..., FIRST_TIES] + tallies[..., SECOND_TIES]
    return tallies[..., SAME] + tallies[..., BOTH_TIE] + one_ties / 2, tallies.sum(axis=-1)


def tau_b(tallies: Floats) -> Fraction:
    """Kendall's rank correlation of two rankings, from -1 to 1; the mean over rankings that have one.

    A ranking that ties all images has none.

    Source: Kendall, 1945, The treatment of ties in ranking problems.
    """
    same, opposite = tallies[..., SAME], tallies[..., OPPOSITE]
    decided = same + opposite
    spread = (decided + tallies[..., FIRST_TIES]) * (decided + tallies[..., SECOND_TIES])
    defined = spread > 0
    tau = np.divide(same - opposite, np.sqrt(spread), out=np.zeros_like(spread), where=defined)
    return tau, defined.astype(np.float64)


MEASURES: dict[Measure, Callable[[Floats], Fraction]] = {
    "strict": strict,
    "half": ties_as_half,
    "tau": tau_b,
}


def majority(verdicts: Floats, chosen: Booleans) -> Floats:
    """What most of the chosen opinions prefer: (n, R, P), (n, R) -> (n, P); 0 where they are split.

    NaN where fewer than two of them know the pair: one opinion is no ensemble.
    """
    known = chosen[:, :, None] & ~np.isnan(verdicts)
    voices = np.where(known, verdicts, 0).sum(axis=1)
    return np.where(known.sum(axis=1) >= MAJORITY, np.sign(voices), np.nan)


@dataclass(frozen=True)
class Comparisons:
    """Tallies of two judges on one prompt, one row each; a person twice is their repeated answer."""

    prompts: Integers  # (N,)
    first: Integers  # (N,): judge
    second: Integers  # (N,): judge
    tallies: Floats  # (N, 5)

    def where(self, rows: Booleans) -> Comparisons:
        return Comparisons(self.prompts[rows], self.first[rows], self.second[rows], self.tallies[rows])

    def between(self, one: Booleans, other: Booleans) -> Comparisons:
        """Rows of a judge of one group with a different judge of the other.

        Args: one, other: (judges + 2,) whether the judge is of the group; the last are MODEL and ENSEMBLE.
        """
        rows = (one[self.first] & other[self.second]) | (other[self.first] & one[self.second])
        return self.where(rows & (self.first != self.second))

    def of(self, judge: int) -> Comparisons:
        """Rows in which the judge takes part."""
        return self.where((self.first == judge) | (self.second == judge))

    def measure(self, measure: Measure, resamples: Resamples) -> Estimate | NotEnough:
        """The figure, counted in pairs of images."""
        above, below = MEASURES[measure](self.tallies)
        counts = self.tallies.sum(axis=-1) if measure == "tau" else None
        return resamples.ratio(self.prompts, above, below, counts)


def compare(by_shape: Iterable[Panel], annotates: Booleans) -> Comparisons:
    """Compare every two judges on every prompt that both judged.

    The ensemble that a person is compared with leaves out their own opinions.

    Args: annotates: (people,) whether they are annotators; the others are researchers.
    """
    rows = [part for panel in by_shape for part in _compare(panel, annotates)]
    if not rows:
        nobody = np.zeros(0, np.int64)
        return Comparisons(nobody, nobody, nobody, np.zeros((0, 5)))
    prompts, first, second, tallies = (np.concatenate(column) for column in zip(*rows, strict=True))
    has_pairs = tallies.sum(axis=-1) > 0
    return Comparisons(prompts[has_pairs], first[has_pairs], second[has_pairs], tallies[has_pairs])


def _compare(panel: Panel, annotates: Booleans) -> Iterator[tuple[Integers, Integers, Integers, Floats]]:
    verdicts, model = panel.verdicts, panel.model_verdicts
    voices = annotates[panel.raters]  # (n, R)
    for i, j in combinations(range(panel.raters.shape[1]), 2):
        yield (
            panel.prompts,
            panel.raters[:, i],
            panel.raters[:, j],
            tally(verdicts[:, i], verdicts[:, j]),
        )
    for i in range(panel.raters.shape[1]):
        rater = panel.raters[:, i]
        ensemble = majority(verdicts, voices & (panel.raters != rater[:, None]))
        yield panel.prompts, rater, np.full_like(rater, ENSEMBLE), tally(verdicts[:, i], ensemble)
        yield panel.prompts, rater, np.full_like(rater, MODEL), tally(verdicts[:, i], model)
    everybody = tally(majority(verdicts, voices), model)
    yield panel.prompts, np.full_like(panel.prompts, ENSEMBLE), np.full_like(panel.prompts, MODEL), everybody
