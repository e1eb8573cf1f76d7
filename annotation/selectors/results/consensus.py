"""What a project's people think together: one probability for each pair of images."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from annotation.models import Project
from annotation.selectors.results.agreement import read_opinions
from annotation.statistics.consensus import consensus
from annotation.statistics.davidson import outcomes
from annotation.statistics.reliability import reliability


@dataclass(frozen=True)
class Consensus:
    """Strengths of images, by generation id; those of one prompt can be compared."""

    strengths: dict[int, float]
    tie: float

    def preferred(self, one: int, other: int) -> float:
        """The probability that people prefer the one image to the other of its prompt, a tie as half.

        Raises: KeyError for an image that no accepted ranking places.
        """
        margin = np.array(self.strengths[one] - self.strengths[other])
        win, draw = outcomes(margin, np.array(self.tie))
        return float(win + draw / 2)


def project_consensus(project: Project, *, until: datetime | None = None) -> Consensus:
    """Bradley and Terry's model with ties, of accepted opinions, each weighed by its author's reliability.

    Args: until: opinions accepted later are left out.
    """
    opinions = read_opinions(project, until=until)
    weights = reliability(opinions.panels, len(opinions.people)).weights
    return Consensus(*consensus(opinions.panels, weights))
