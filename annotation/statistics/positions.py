"""Whether images are preferred for where they stood on the page. The order is random: all are equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from annotation.statistics.estimates import Estimate, NotEnough, Resamples

SEED = 0  # seed of the resamples: the same answers give the same figures
CHANCE = 0.5  # of the pairs of an image, those won at a place that does not matter


class Wins(NamedTuple):
    """All images of one prompt that stood at one place.

    `wins` of `pairs`: how often they were preferred to another image of their ranking, a tie as half.
    """

    prompt: int
    position: int
    images: int
    wins: float
    pairs: int


@dataclass(frozen=True)
class PositionFigure:
    """The images at one place: how many, and the share of their pairs that they win, a tie as half."""

    position: int
    images: int
    preferred: Estimate | NotEnough

    @property
    def bias(self) -> int | None:
        """1 where the whole interval is above an even chance, -1 where below; 0 else; None without one."""
        if isinstance(self.preferred, NotEnough):
            return None
        return int(self.preferred.low > CHANCE) - int(self.preferred.high < CHANCE)


def preferred_by_position(wins: list[Wins]) -> list[PositionFigure]:
    """Return the share of pairs won at each place, the first place first, with intervals over prompts.

    Source: the cluster bootstrap of `estimates`.
    """
    if not wins:
        return []
    _, prompts = np.unique([row.prompt for row in wins], return_inverse=True)
    positions = np.array([row.position for row in wins])
    above = np.array([row.wins for row in wins], np.float64)
    below = np.array([row.pairs for row in wins], np.float64)
    images = np.array([row.images for row in wins])
    resamples = Resamples(int(prompts.max()) + 1, seed=SEED)
    return [
        PositionFigure(
            position=int(position),
            images=int(images[at].sum()),
            preferred=resamples.ratio(prompts[at], above[at], below[at]),
        )
        for position in np.unique(positions)
        for at in [positions == position]
    ]
