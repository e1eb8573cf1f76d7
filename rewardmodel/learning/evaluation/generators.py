"""Whether a model ranks generators as people do, and how well it tells their images apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotation.statistics.correlation import spearman
from annotation.statistics.estimates import Floats, Integers, interval, resample
from rewardmodel.learning.data.rankings import Ranking

ENOUGH = 3  # generators, for a rank correlation to say anything
MARKS = (5, 25, 50, 75, 95)  # percentiles of a box


@dataclass(frozen=True)
class GeneratorFigures:
    """One generator's images."""

    name: str
    images: int
    mean: float  # reward
    wins: int  # as the paper's Table 1 counts them
    compared: int
    win_share: float | None  # of those compared, ties as half; None where it was compared with no other
    box: tuple[float, ...]  # MARKS of its rewards, on a scale from the lowest to the highest of all images


@dataclass(frozen=True)
class GeneratorRanking:
    """`correlation` is Spearman's, of win shares and mean rewards, with its 95 % interval over prompts."""

    generators: tuple[GeneratorFigures, ...]  # people's favourite first
    correlation: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class _Sums:
    """Per prompt and generator, (P, G): what figures of any draw of prompts are made of."""

    reward: Floats
    images: Floats
    points: Floats  # wins, and ties as half
    compared: Floats


def standings(places: Sequence[int], generators: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Wins, ties and comparisons of each generator in one ranking: each stands by its best image.

    Source: ImageReward, section 2.3: people first pick a generator's best image, then rank generators; #Win
    counts those left behind.
    """
    best: dict[str, int] = {}
    for place, generator in zip(places, generators, strict=True):
        best[generator] = min(place, best.get(generator, place))
    counts = {}
    for name, rank in best.items():
        others = [place for other, place in best.items() if other != name]
        counts[name] = (sum(rank < p for p in others), sum(rank == p for p in others), len(others))
    return counts


def rank_generators(
    rewards: Sequence[Sequence[float]],
    rankings: Sequence[Ranking],
    generators: Sequence[Sequence[str]],
    *,
    seed: int,
) -> GeneratorRanking | None:
    """Generators by what people and what the model say. None where no image's generator is known.

    Args: generators: of each ranking's images, in their order; empty where not known.
    """
    known = [(*row[:2], row[2]) for row in zip(rewards, rankings, generators, strict=True) if row[2]]
    if not known:
        return None
    names = sorted({name for _, _, sources in known for name in sources})
    wins = np.zeros(len(names), np.int64)
    sums = _add_up(known, names, wins)
    low, high = _correlation_interval(sums, seed)
    shares = _ratio(sums.points.sum(axis=0), sums.compared.sum(axis=0))
    means = _ratio(sums.reward.sum(axis=0), sums.images.sum(axis=0))
    boxes = _boxes(known, names)
    figures = [
        GeneratorFigures(
            name,
            int(sums.images[:, at].sum()),
            float(means[at]),
            int(wins[at]),
            int(sums.compared[:, at].sum()),
            None if np.isnan(shares[at]) else float(shares[at]),
            boxes[at],
        )
        for at, name in enumerate(names)
    ]
    figures.sort(key=lambda figure: -1.0 if figure.win_share is None else figure.win_share, reverse=True)
    return GeneratorRanking(tuple(figures), _correlation(shares, means), low, high)


Known = tuple[Sequence[float], Ranking, Sequence[str]]


def _add_up(known: Sequence[Known], names: Sequence[str], wins: Integers) -> _Sums:
    column = {name: at for at, name in enumerate(names)}
    row: dict[str, int] = {}
    for _, ranking, _ in known:
        row.setdefault(ranking.prompt, len(row))
    sums = _Sums(*(np.zeros((len(row), len(names))) for _ in range(4)))
    for rewards, ranking, sources in known:
        at = row[ranking.prompt]
        for reward, name in zip(rewards, sources, strict=True):
            sums.reward[at, column[name]] += reward
            sums.images[at, column[name]] += 1
        for name, (won, tied, compared) in standings(ranking.places, sources).items():
            wins[column[name]] += won
            sums.points[at, column[name]] += won + tied / 2
            sums.compared[at, column[name]] += compared
    return sums


def _correlation_interval(sums: _Sums, seed: int) -> tuple[float | None, float | None]:
    correlations = []
    for rows in (rows for some in resample(len(sums.reward), seed=seed) for rows in some):
        points, compared, reward, images = (
            table[rows].sum(axis=0) for table in (sums.points, sums.compared, sums.reward, sums.images)
        )
        value = _correlation(_ratio(points, compared), _ratio(reward, images))
        if value is not None:
            correlations.append(value)
    if not correlations:
        return None, None
    around = interval(np.array(correlations))
    return around.low, around.high


def _correlation(shares: Floats, means: Floats) -> float | None:
    both = ~np.isnan(shares) & ~np.isnan(means)
    if both.sum() < ENOUGH:
        return None
    return spearman(shares[both].tolist(), means[both].tolist())


def _ratio(parts: Floats, wholes: Floats) -> Floats:
    """Divide; NaN where the divisor is 0."""
    return np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)


def _boxes(known: Sequence[Known], names: Sequence[str]) -> list[tuple[float, ...]]:
    """Each image counts once, however many ranked it. Source: the paper's figure on distinguishability."""
    seen = {
        image: (name, reward)
        for rewards, ranking, sources in known
        for image, name, reward in zip(ranking.images, sources, rewards, strict=True)
    }
    values = np.array([reward for _, reward in seen.values()])
    low, span = values.min(), np.ptp(values) or 1.0
    of = np.array([names.index(name) for name, _ in seen.values()])
    return [
        tuple(float(mark) for mark in np.percentile((values[of == at] - low) / span, MARKS))
        for at in range(len(names))
    ]
