"""Rankings of the same prompts as arrays, and their verdicts on every pair of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotation.statistics.estimates import Floats, Integers


@dataclass(frozen=True)
class Placements:
    """Rankings in long form, one row an image placed in one opinion.

    Prompts and raters are numbered from 0; opinions and images have any number of their own. `scores` are
    the reward model's, NaN where it has none.
    """

    prompts: Integers
    opinions: Integers
    raters: Integers
    images: Integers
    slots: Integers
    scores: Floats


@dataclass(frozen=True)
class Panel:
    """Prompts that have equally many opinions R and images K."""

    prompts: Integers  # (n,)
    raters: Integers  # (n, R): whose opinion it is
    images: Integers  # (n, K)
    slots: Floats  # (n, R, K): 1 is best; NaN where the opinion does not place the image
    scores: Floats  # (n, K): higher is better, NaN where there is none

    @property
    def verdicts(self) -> Floats:
        """(n, R, P): what each opinion says of each pair."""
        return verdicts(self.slots)

    @property
    def model_verdicts(self) -> Floats:
        """(n, P): what the reward model's scores say of each pair."""
        return verdicts(-self.scores)


def verdicts(places: Floats) -> Floats:
    """Which image of each pair is preferred: (..., K) -> (..., P), pairs as `np.triu_indices(K, 1)` has them.

    Args: places: lower is better, NaN is unknown.
    Returns: 1 for the first image, -1 for the second, 0 for a tie, NaN where a place is unknown.
    """
    first, second = np.triu_indices(places.shape[-1], 1)
    return np.sign(places[..., second] - places[..., first])


def panels(placed: Placements) -> list[Panel]:
    """The rankings by prompt; prompts of equal shape lie together, so that the rest is array arithmetic."""
    if not len(placed.prompts):
        return []
    opinion, opinions = _number_within(placed.prompts, placed.opinions)
    image, images = _number_within(placed.prompts, placed.images)
    by_shape = []
    for shape in np.unique(np.stack([opinions, images], axis=1)[np.unique(placed.prompts)], axis=0):
        of_shape = (opinions == shape[0]) & (images == shape[1])  # by prompt
        rows = of_shape[placed.prompts]
        at = (np.cumsum(of_shape) - 1)[placed.prompts[rows]]
        n, (r, k) = int(of_shape.sum()), shape
        panel = Panel(
            prompts=np.flatnonzero(of_shape),
            raters=np.zeros((n, r), np.int64),
            images=np.zeros((n, k), np.int64),
            slots=np.full((n, r, k), np.nan),
            scores=np.full((n, k), np.nan),
        )
        panel.raters[at, opinion[rows]] = placed.raters[rows]
        panel.images[at, image[rows]] = placed.images[rows]
        panel.slots[at, opinion[rows], image[rows]] = placed.slots[rows]
        panel.scores[at, image[rows]] = placed.scores[rows]
        by_shape.append(panel)
    return by_shape


def _number_within(groups: Integers, keys: Integers) -> tuple[Integers, Integers]:
    """For each row, which of its group's keys it has, from 0; and for each group how many keys it has."""
    distinct, codes = np.unique(keys, return_inverse=True)
    pairs, inverse = np.unique(groups * len(distinct) + codes, return_inverse=True)
    counts = np.bincount(pairs // len(distinct))
    starts = np.cumsum(counts) - counts
    return inverse - starts[groups], counts
