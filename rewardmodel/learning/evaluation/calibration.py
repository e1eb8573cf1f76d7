"""Whether a model is right as often as the margin between two rewards says.

The model's confidence in its order of two images is sigmoid(|margin| / temperature): the probability that the
pair loss trains. Source: Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotation.statistics.estimates import Floats, Integers, interval, resample
from rewardmodel.learning.evaluation.pairs import Pairs
from rewardmodel.learning.reference import lowest_loss_temperature

BINS = 10  # from 0.5 to 1


@dataclass(frozen=True)
class Bin:
    """Pairs of about the same confidence."""

    confidence: float  # mean, 0.5 to 1
    accuracy: float
    pairs: int


@dataclass(frozen=True)
class Calibration:
    """`error` is the expected calibration error, with its 95 % interval over prompts; `loss` nats a pair."""

    temperature: float
    error: float
    low: float
    high: float
    loss: float
    bins: tuple[Bin, ...]


def calibration(pairs: Pairs, *, temperature: float, seed: int) -> Calibration:
    """How confident and how right the model is. Raises: ValueError without a pair."""
    if not len(pairs):
        raise ValueError("no pair to be confident of")
    confidence, right = confidences(pairs, temperature), outcomes(pairs)
    at = bin_numbers(confidence)
    bins = tuple(
        Bin(float(confidence[at == n].mean()), float(right[at == n].mean()), int((at == n).sum()))
        for n in np.unique(at)
    )
    _, prompt = np.unique(pairs.prompt, return_inverse=True)
    count = prompt.max() + 1
    distances = np.zeros((count, BINS))  # of each prompt and bin: the sum of confidence less outcome
    np.add.at(distances, (prompt, at), confidence - right)
    sizes = np.bincount(prompt, minlength=count).astype(np.float64)
    draws = (rows for some in resample(count, seed=seed) for rows in some)  # (P,) each
    errors = np.array([np.abs(distances[rows].sum(axis=0)).sum() / sizes[rows].sum() for rows in draws])
    around = interval(errors)
    loss = float(np.logaddexp(0, -pairs.margin / temperature).mean())
    error = float(np.abs(distances.sum(axis=0)).sum() / len(pairs))
    return Calibration(temperature, error, around.low, around.high, loss, bins)


def confidences(pairs: Pairs, temperature: float) -> Floats:
    """(N,) 0.5 to 1: how sure the model is of its own order of each pair."""
    return np.asarray(1 / (1 + np.exp(-np.abs(pairs.margin) / temperature)), np.float64)


def outcomes(pairs: Pairs) -> Floats:
    """(N,) 1 where the model's order is people's, 0 where not; 0.5 where it has none, being 0.5 confident."""
    return np.where(pairs.margin > 0, 1.0, np.where(pairs.margin == 0, 0.5, 0.0))


def bin_numbers(confidence: Floats) -> Integers:
    """(N,) 0 to BINS - 1: equally wide bins from 0.5 to 1."""
    return np.minimum((confidence - 0.5) * 2 * BINS, BINS - 1).astype(np.int64)


def fit_temperature(pairs: Pairs) -> float:
    """The temperature at which the pair loss of these pairs is lowest, from 0.001 to 1,000.

    Raises: ValueError without a pair.
    """
    return lowest_loss_temperature(pairs.margin)
