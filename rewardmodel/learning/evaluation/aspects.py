"""How far what a model says of single aspects agrees with what people said, over all images of a split.

Across prompts, not within them: a rating means the same whatever the picture was to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from annotation.statistics.correlation import mean_ranks
from annotation.statistics.estimates import Estimate, Floats, Integers, estimate, resample
from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.model.aspects import PROBLEMS, RATINGS
from rewardmodel.learning.scoring import AspectAnswers


def aspect_figures(
    predicted: Sequence[Sequence[AspectAnswers]], rankings: Sequence[Ranking], *, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Return the correlations of each rating, and how well each problem that people saw is told.

    Args: predicted: of each image of each ranking, what `Scorer.score_aspects` gives.
    Returns: "ratings", each with "name", "pearson" and "spearman", estimates with intervals over prompts;
        "problems", each with "name", "auc", the "share" of images that people ticked it for, and the "count"
        of images. Left out is what nobody said, nobody or everybody ticked, or is equal for all images.
    """
    names = [name for name in (*RATINGS, "problems") if predicted and name in predicted[0][0]]
    ratings, problems = [], []
    for name in names:
        prompts, guesses, truths = _said(name, predicted, rankings)
        if name in RATINGS:
            ratings.append({"name": name, **_correlations(prompts, guesses, truths, seed)})
        else:
            problems += [
                {"name": problem, **fit}
                for column, problem in enumerate(PROBLEMS)
                if (fit := _separation([each[problem] for each in guesses], [t[column] for t in truths]))
            ]
    return {"ratings": [row for row in ratings if len(row) > 1], "problems": problems}


def pearson(x: Floats, y: Floats, prompts: Integers, *, seed: int) -> Estimate | None:
    """Return the correlation of x and y, (N,), with its interval over prompts; None where one is constant.

    Args: prompts: (N,), which prompt each is of.
    """
    if not len(x) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    x, y = x - x.mean(), y - y.mean()  # sums of squares of centred values lose no digits
    _, of = np.unique(prompts, return_inverse=True)
    moments = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])  # (6, N)
    sums = np.stack([np.bincount(of, weights=row) for row in moments])  # (6, P)
    drawn = [_correlation(sums[:, rows].sum(axis=-1)) for rows in resample(sums.shape[1], seed=seed)]
    value = float(_correlation(sums.sum(axis=-1)))
    return estimate(value, np.concatenate(drawn), sums.shape[1], len(x))


def _correlation(sums: Floats) -> Floats:
    """(6, ...): n and the sums of x, y, x x, y y, x y -> (...)."""
    n, x, y, xx, yy, xy = sums
    spread = np.maximum((n * xx - x * x) * (n * yy - y * y), np.finfo(np.float64).tiny)
    return np.asarray((n * xy - x * y) / np.sqrt(spread))


def auc(scores: Sequence[float], is_so: Sequence[bool]) -> float | None:
    """How often something that is so has a higher score than something that is not, ties as half.

    None where all are so, or none.

    Source: Hanley and McNeil, The meaning and use of the area under a ROC curve, Radiology 143, 1982.
    """
    ranks, so = np.array(mean_ranks(scores)), np.array(is_so, dtype=bool)
    yes, no = int(so.sum()), int((~so).sum())
    if not yes or not no:
        return None
    return float((ranks[so].sum() - yes * (yes + 1) / 2) / (yes * no))


def _said(
    name: str, predicted: Sequence[Sequence[AspectAnswers]], rankings: Sequence[Ranking]
) -> tuple[list[str], list[Any], list[tuple[bool, ...]]]:
    """Return prompt, prediction and answer of each image of which somebody said anything on the aspect."""
    rows = [
        (ranking.prompt, guess[name], answer)
        for ranking, guesses in zip(rankings, predicted, strict=True)
        for guess, answer in zip(guesses, ranking.aspects.get(name, ()), strict=False)
        if answer is not None
    ]
    prompts, guesses, truths = zip(*rows, strict=True) if rows else ((), (), ())
    return list(prompts), list(guesses), list(truths)


def _correlations(
    prompts: Sequence[str], guesses: Sequence[float], truths: Sequence[Sequence[bool]], seed: int
) -> dict[str, Mapping[str, Any]]:
    said = [1 + sum(steps) for steps in truths]  # the rating, of its steps
    numbers = np.unique(prompts, return_inverse=True)[1] if prompts else np.zeros(0, np.int64)
    figures = {
        "pearson": pearson(np.array(guesses, float), np.array(said, float), numbers, seed=seed),
        "spearman": pearson(np.array(mean_ranks(guesses)), np.array(mean_ranks(said)), numbers, seed=seed),
    }
    return {name: asdict(figure) for name, figure in figures.items() if figure}


def _separation(scores: Sequence[float], ticked: Sequence[bool]) -> dict[str, float] | None:
    area = auc(scores, ticked)
    if area is None:
        return None
    return {"auc": area, "share": sum(ticked) / len(ticked), "count": len(ticked)}
