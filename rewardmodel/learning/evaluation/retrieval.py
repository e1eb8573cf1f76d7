"""Whether a model finds the image that people like best, and the one that they like least.

Source: ImageReward, arXiv 2304.05977, section 3.2 and appendix C.2, Recall@k and Filter@k.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotation.statistics.estimates import Estimate, mean_over_prompts
from rewardmodel.learning.data.rankings import Ranking

CUTS = (1, 2, 4)  # the paper's k


def recall_at(rewards: Sequence[float], places: Sequence[int], k: int) -> float:
    """1 where the image that people like best is among the k that the model likes best, else 0.

    Of several that people put first, any may be meant: it is the share of them that is among the k, so that
    chance is k / K whatever ties there are. Images to which the model gives the same reward stand behind one
    another: a tie at the edge is outside.

    Args: rewards, places: of the K images of a ranking, 1 is the best place.
    """
    best = min(places)
    favourites = [reward for reward, place in zip(rewards, places, strict=True) if place == best]
    return sum(sum(other >= reward for other in rewards) <= k for reward in favourites) / len(favourites)


def filter_at(rewards: Sequence[float], places: Sequence[int], k: int) -> float:
    """Return `recall_at` of the worst image and the k that the model likes least."""
    return recall_at([-reward for reward in rewards], [-place for place in places], k)


def mean_recall(
    rewards: Sequence[Sequence[float]], rankings: Sequence[Ranking], k: int, *, worst: bool, seed: int
) -> tuple[Estimate, float] | None:
    """The mean over rankings of more than k images, and what a blind choice of k images would give.

    Args: worst: Filter@k instead of Recall@k.
    Returns: None where no ranking has more than k images.
    """
    measure = filter_at if worst else recall_at
    numbers: dict[str, int] = {}
    prompts, values, chances = [], [], []
    for scores, ranking in zip(rewards, rankings, strict=True):
        if len(scores) > k and len(set(ranking.places)) > 1:
            prompts.append(numbers.setdefault(ranking.prompt, len(numbers)))
            values.append(measure(scores, ranking.places, k))
            chances.append(k / len(scores))
    estimate = mean_over_prompts(np.array(prompts, np.int64), np.array(values, np.float64), seed=seed)
    return None if estimate is None else (estimate, float(np.mean(chances)))
