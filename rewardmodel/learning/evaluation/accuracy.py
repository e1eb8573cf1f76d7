"""How often a model orders two images as people did, and how sure that figure is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotation.statistics.estimates import Interval, interval, resampled_shares
from annotation.statistics.superiority import probability_better
from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.evaluation.pairs import pairs_of
from rewardmodel.learning.scoring import Scorer


@dataclass(frozen=True)
class PromptResult:
    """Pairs of one prompt, over all its rankings: how many there are and how many were ordered right."""

    prompt: str
    right: int
    pairs: int


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
    probability: float  # that the difference is above 0


def evaluate(model: Scorer, rankings: Sequence[Ranking], *, seed: int = 0) -> Evaluation:
    """Score the images of the rankings and compare. Raises: ValueError without a pair; UnreadableImage."""
    rewards = model.score_groups([row.prompt for row in rankings], [row.images for row in rankings])
    return evaluate_rewards(rewards, rankings, seed=seed)


def evaluate_rewards(
    rewards: Sequence[Sequence[float]], rankings: Sequence[Ranking], *, seed: int = 0
) -> Evaluation:
    """Compare rewards, whoever gave them, with rankings of the same images in the same order.

    Raises: ValueError when there is no pair in different places.
    """
    texts = list(dict.fromkeys(ranking.prompt for ranking in rankings))  # as `pairs_of` numbers them
    pairs = pairs_of(rewards, rankings)
    right = np.bincount(pairs.prompt, weights=pairs.margin > 0, minlength=len(texts))
    every = np.bincount(pairs.prompt, minlength=len(texts))
    results = tuple(
        PromptResult(text, int(right[at]), int(every[at])) for at, text in enumerate(texts) if every[at]
    )
    if not results:
        raise ValueError("no two images in different places to evaluate on")
    counts = np.array([[r.right, r.pairs] for r in results], dtype=np.float64)
    return Evaluation(
        accuracy=float(counts[:, 0].sum() / counts[:, 1].sum()),
        accuracy_by_prompt=float((counts[:, 0] / counts[:, 1]).mean()),
        interval=interval(resampled_shares(counts[:, 0], counts[:, 1], seed=seed)),
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
    differences = resampled_shares(gains, pairs, seed=seed)
    return Comparison(
        float(gains.sum() / pairs.sum()), interval(differences), probability_better(gains, seed=seed)
    )
