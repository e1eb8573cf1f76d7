"""Test whether the best image is at one place on the page too often. Images are shuffled: all are equal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

EXPECTED = 5  # at each place, below which the approximation is poor: Cochran's rule


class PlaceTest(NamedTuple):
    """`p`: how likely places as uneven as these are by chance; None of too few answers to say."""

    answers: int
    p: float | None


def compare_places(best: Iterable[tuple[int, int]]) -> PlaceTest:
    """Pearson's chi-square test that the best image is shown at every place equally often.

    Args: best: (number of images K, place of the best one from 0 to K-1) for each answer with one best image.
    Counts are of answers with equally many images; the statistics of the groups add up, and so do their
    degrees of freedom, K - 1 each. Groups with fewer than 5 answers a place are left out.

    Source: Pearson, 1900; Cochran, 1954, for the least expected count.
    """
    groups: dict[int, Counter[int]] = {}
    for images, place in best:
        groups.setdefault(images, Counter())[place] += 1
    statistic, freedom, answers = 0.0, 0, 0
    for images, counts in groups.items():
        expected = counts.total() / images
        if expected < EXPECTED:
            continue
        statistic += sum((counts[place] - expected) ** 2 / expected for place in range(images))
        freedom += images - 1
        answers += counts.total()
    return PlaceTest(answers, chi_square_tail(statistic, freedom) if freedom else None)


def chi_square_tail(statistic: float, freedom: int) -> float:
    """The chance that a chi-square variable is larger, by the finite sums for whole degrees of freedom.

    Source: Abramowitz and Stegun, 26.4.4 and 26.4.5.
    """
    half = statistic / 2
    if freedom % 2 == 0:
        return math.exp(-half) * sum(math.pow(half, i) / math.factorial(i) for i in range(freedom // 2))
    terms = (math.pow(half, i - 0.5) / math.gamma(i + 0.5) for i in range(1, (freedom - 1) // 2 + 1))
    return math.erfc(math.sqrt(half)) + math.exp(-half) * sum(terms)
