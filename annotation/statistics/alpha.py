"""Krippendorff's alpha of ratings: agreement beyond chance, 1 is perfect, 0 is chance."""

from __future__ import annotations

import numpy as np

from annotation.statistics.estimates import (
    ENOUGH_PROMPTS,
    Estimate,
    Floats,
    Integers,
    NotEnough,
    Resamples,
    estimate,
    too_few,
)


def ordinal_alpha(
    prompts: Integers, images: Integers, ratings: Integers, *, highest: int, resamples: Resamples
) -> Estimate | NotEnough:
    """Alpha of ratings on an ordinal scale, counted in images that two people or more rated.

    Args: one row a rating of an image by somebody; ratings are 1..highest.
    """
    _, first, image = np.unique(images, return_index=True, return_inverse=True)
    counts = np.bincount(image * highest + ratings - 1, minlength=len(first) * highest)
    counts = counts.reshape(len(first), highest)
    pairable = counts.sum(axis=1) > 1
    by_prompt = _sum_by(prompts[first[pairable]], coincidences(counts[pairable]), resamples.prompts)
    involved = by_prompt.any(axis=(1, 2))
    if involved.sum() < ENOUGH_PROMPTS:
        return too_few(int(involved.sum()))
    sums = by_prompt[involved].reshape(-1, highest * highest)
    drawn = (resamples.weights[:, involved] @ sums).reshape(-1, highest, highest)
    value = float(alpha_of(sums.sum(axis=0).reshape(highest, highest)))
    if np.isnan(value):
        return NotEnough("every rating is the same")
    return estimate(value, alpha_of(drawn), int(involved.sum()), int(pairable.sum()))


def coincidences(counts: Integers) -> Floats:
    """How often two ratings of an image meet: (images, V) ratings of each value -> (images, V, V).

    Args: counts: two ratings or more of each image.
    """
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(counts.shape[1])
    return np.asarray(pairs / (counts.sum(axis=1) - 1)[:, None, None], np.float64)


def alpha_of(meetings: Floats) -> Floats:
    """1 - observed by expected disagreement, of summed coincidences (..., V, V); NaN where nothing varies.

    Source: Krippendorff, Content Analysis, chapter on reliability: the ordinal metric and coincidences.
    """
    counts = meetings.sum(axis=-1)  # (..., V): pairable ratings of each value
    total = counts.sum(axis=-1)[..., None, None]
    cumulated = counts.cumsum(axis=-1)
    # The distance of two values is the number of ratings from the middle of one to the middle of the other.
    middles = cumulated - counts / 2
    distances = (middles[..., :, None] - middles[..., None, :]) ** 2
    observed = (meetings * distances).sum(axis=(-2, -1))
    by_chance = counts[..., :, None] * counts[..., None, :] * distances
    expected = (by_chance / np.maximum(total - 1, 1)).sum(axis=(-2, -1))
    alpha: Floats = 1 - np.divide(observed, expected, out=np.full_like(observed, np.nan), where=expected > 0)
    return alpha


def _sum_by(groups: Integers, rows: Floats, count: int) -> Floats:
    """Sums of the rows of each group 0..count - 1."""
    order = np.argsort(groups, kind="stable")
    sums = np.zeros((count, *rows.shape[1:]))
    if len(groups):
        present, starts = np.unique(groups[order], return_index=True)
        sums[present] = np.add.reduceat(rows[order], starts)
    return sums
