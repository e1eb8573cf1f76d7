"""How often a model orders two images as people did, and how sure that figure is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewardmodel.learning.data import Ranking
from rewardmodel.learning.scoring import Scorer

RESAMPLES = 2000


@dataclass(frozen=True)
class PromptResult:
    """Pairs of one prompt, over all its rankings: how many there are and how many were ordered right."""

    prompt: str
    right: int
    pairs: int


@dataclass(frozen=True)
class Interval:
    """A 95 % bootstrap interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """Agreement with human rankings. Tied places are no pair; a tie the model predicts counts as wrong."""

    accuracy: float  # share of all pairs, so that prompts with more images weigh more, as in the paper's code
    accuracy_by_prompt: float  # mean of each prompt's own share
    interval: Interval  # of accuracy, over prompts
    prompts: int
    pairs: int
    results: tuple[PromptResult, ...]


@dataclass(frozen=True)
class Comparison:
    """Accuracy of one model less that of another on the same pairs."""

    difference: float
    interval: Interval  # over prompts, both models resampled together


def evaluate(model: Scorer, rankings: Sequence[Ranking], *, seed: int = 0) -> Evaluation:
    """Score the images of the rankings and compare. Raises: ValueError without a pair; UnreadableImage."""
    rewards = model.score_groups([one.prompt for one in rankings], [one.images for one in rankings])
    return evaluate_rewards(rewards, rankings, seed=seed)


def evaluate_rewards(
    rewards: Sequence[Sequence[float]], rankings: Sequence[Ranking], *, seed: int = 0
) -> Evaluation:
    """Compare rewards, whoever gave them, with rankings of the same images in the same order.

    Raises: ValueError when there is no pair in different places.
    """
    tally: dict[str, tuple[int, int]] = {}
    for own, ranking in zip(rewards, rankings, strict=True):
        right, pairs = _right_and_pairs(own, ranking.places)
        before = tally.get(ranking.prompt, (0, 0))
        tally[ranking.prompt] = (before[0] + right, before[1] + pairs)
    results = tuple(PromptResult(p, right, pairs) for p, (right, pairs) in tally.items() if pairs)
    if not results:
        raise ValueError("no two images in different places to evaluate on")
    counts = np.array([[r.right, r.pairs] for r in results], dtype=np.float64)
    drawn = _resample(len(results), seed)
    return Evaluation(
        accuracy=float(counts[:, 0].sum() / counts[:, 1].sum()),
        accuracy_by_prompt=float((counts[:, 0] / counts[:, 1]).mean()),
        interval=_interval(counts[drawn, 0].sum(axis=1) / counts[drawn, 1].sum(axis=1)),
        prompts=len(results),
        pairs=int(counts[:, 1].sum()),
        results=results,
    )


def compare(a: Evaluation, b: Evaluation, *, seed: int = 0) -> Comparison:
    """How much more accurate a is than b. Raises: ValueError when evaluated on different pairs."""
    if [(r.prompt, r.pairs) for r in a.results] != [(r.prompt, r.pairs) for r in b.results]:
        raise ValueError("the two were evaluated on different pairs")
    gains = np.array([x.right - y.right for x, y in zip(a.results, b.results, strict=True)], dtype=np.float64)
    pairs = np.array([r.pairs for r in a.results], dtype=np.float64)
    drawn = _resample(len(pairs), seed)
    differences = gains[drawn].sum(axis=1) / pairs[drawn].sum(axis=1)
    return Comparison(float(gains.sum() / pairs.sum()), _interval(differences))


def _right_and_pairs(rewards: Sequence[float], places: Sequence[int]) -> tuple[int, int]:
    right = pairs = 0
    for i, place in enumerate(places):
        for j, other in enumerate(places):
            if place < other:
                pairs += 1
                right += rewards[i] > rewards[j]
    return right, pairs


def _resample(count: int, seed: int) -> NDArray[np.int64]:
    """(RESAMPLES, count) indices, drawn with replacement."""
    return np.random.default_rng(seed).integers(0, count, size=(RESAMPLES, count))


def _interval(values: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))
