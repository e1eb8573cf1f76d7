"""The agreement of two answers to one prompt."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from annotation.statistics.agreement import tally, ties_as_half
from annotation.statistics.panels import verdicts


def compare(reference: Mapping[int, int], answer: Mapping[int, int]) -> tuple[float, int]:
    """How far two rankings agree: (agreeing pairs, pairs) of the images in both, ties as `ties_as_half`.

    Args: reference, answer: image -> slot, 1 is best.
    """
    images = sorted(set(reference) & set(answer))
    places = [np.array([float(ranking[pk]) for pk in images]) for ranking in (reference, answer)]
    agreed, pairs = ties_as_half(tally(verdicts(places[0]), verdicts(places[1])))
    return float(agreed), int(pairs)
