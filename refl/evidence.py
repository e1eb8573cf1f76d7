"""What a change of scores between two generators shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from annotation.statistics.estimates import interval, resample


@dataclass(frozen=True)
class Change:
    """Mean scores before and after, and the 95 % interval of their mean difference. In units of the score."""

    before: float
    after: float
    low: float
    high: float
    prompts: int

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def is_a_fall(self) -> bool:
        """The whole interval lies below zero: chance does not explain it."""
        return self.high < 0

    def to_dict(self) -> dict[str, float | int]:
        return {**asdict(self), "difference": self.difference}


def paired_change(
    before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], *, seed: int, draws: int = 10_000
) -> Change:
    """Compare two generators on the same prompts with the same seeds.

    The interval is the percentile bootstrap of the mean difference. Prompts are drawn, not images: images of
    one prompt are no independent witnesses.

    Args:
        before, after: for each prompt the scores of its images, in the same order of prompts and seeds.
        seed: of the draws.
    Raises: ValueError when the two do not match or are empty.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13.
    """
    if not before or [len(scores) for scores in before] != [len(scores) for scores in after]:
        raise ValueError("both generators need scores of the same prompts and seeds, at least one")
    first = np.array([np.mean(scores) for scores in before])  # (B,)
    second = np.array([np.mean(scores) for scores in after])  # (B,)
    differences = second - first
    drawn = resample(len(differences), seed=seed, resamples=draws)
    ends = interval(np.concatenate([differences[rows].mean(axis=1) for rows in drawn]))
    return Change(float(first.mean()), float(second.mean()), ends.low, ends.high, len(differences))
