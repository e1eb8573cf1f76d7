"""The leaderboard of 1,000,000 comparisons: how long it takes, and its intervals beside 2,000 resamples."""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np

from annotation.statistics import davidson
from annotation.statistics.estimates import Floats, Integers, resample
from annotation.statistics.leaderboard import PRIOR, Contests, contests, covariance, leaderboard
from annotation.statistics.panels import Placements

IMAGES = 6  # of a prompt, by as many generators
RUNS = 5
TOGETHER = 100  # resamples fitted at a time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=1_000_000)
    parser.add_argument("--generators", type=int, default=50)
    parser.add_argument("--resamples", type=int, default=2000)
    asked = parser.parse_args()
    opinions = 2
    prompts = -(-asked.comparisons // (opinions * IMAGES * (IMAGES - 1) // 2))
    placed, items = simulated(prompts, opinions, asked.generators)
    every = contests(placed, items)
    print(f"{len(every.prompts):,} comparisons on {prompts:,} prompts, {asked.generators} generators")

    times = [timed(placed, items) for _ in range(RUNS)]
    seconds, cpu = ([each[part] for each in times] for part in (0, 1))
    print(f"leaderboard: median {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), "
          f"{median(cpu):.2f} of the CPU ({min(cpu):.2f} to {max(cpu):.2f})")  # fmt: skip

    begun = time.perf_counter()
    fitted = fit(every, asked.generators, np.ones((1, prompts)))
    errors = np.sqrt(np.diag(covariance(fitted, every, prior=PRIOR)))
    print(f"fit and covariance alone: {time.perf_counter() - begun:.2f} s")

    begun = time.perf_counter()
    strengths = []
    weights: list[Integers] = []
    for rows in resample(prompts, seed=1, resamples=asked.resamples):
        for row in rows:
            weights.append(np.bincount(row, minlength=prompts))
            if len(weights) == TOGETHER:
                strengths.append(fit(every, asked.generators, np.stack(weights)).strengths)
                weights = []
    drawn = np.concatenate(strengths)
    print(f"{len(drawn):,} resamples: {time.perf_counter() - begun:.0f} s")
    ratios = errors / drawn.std(axis=0)
    print(f"standard errors, closed by resampled: {ratios.min():.3f} to {ratios.max():.3f}, "
          f"mean {ratios.mean():.3f}")  # fmt: skip
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    widths = 2 * 1.959964 * errors / (high - low)
    print(
        f"widths of intervals, the same: {widths.min():.3f} to {widths.max():.3f}, mean {widths.mean():.3f}"
    )


def simulated(prompts: int, opinions: int, generators: int) -> tuple[Placements, Integers]:
    """Prompts of images by as many generators, whose judges share a taste; two images share slot 1."""
    rng = np.random.default_rng(0)
    truth = rng.normal(scale=0.7, size=generators)
    items = rng.random((prompts, generators)).argsort(axis=1)[:, :IMAGES]  # (P, K)
    taste = truth[items] + rng.normal(size=items.shape)
    marks = taste[:, None] + rng.gumbel(size=(prompts, opinions, IMAGES))  # (P, R, K)
    slots = 1 + (-marks).argsort(axis=2).argsort(axis=2) * 4 // (IMAGES - 1)
    shape = slots.shape
    prompt = np.broadcast_to(np.arange(prompts)[:, None, None], shape)
    opinion = prompt * opinions + np.arange(opinions)[:, None]
    image = np.broadcast_to((np.arange(prompts)[:, None] * IMAGES + np.arange(IMAGES))[:, None], shape)
    nobody, unscored = np.zeros(slots.size, np.int64), np.full(slots.size, np.nan)
    placed = Placements(
        prompt.ravel(), opinion.ravel(), nobody, image.ravel(), slots.ravel().astype(np.int64), unscored
    )
    return placed, np.broadcast_to(items[:, None], shape).ravel()


def timed(placed: Placements, items: Integers) -> tuple[float, float]:
    """Seconds of the clock, and of the CPU."""
    begun, spent = time.perf_counter(), time.process_time()
    leaderboard(placed, items)
    return time.perf_counter() - begun, time.process_time() - spent


def fit(every: Contests, size: int, weights: Floats | Integers) -> davidson.Strengths:
    """Fit sets in which each prompt counts as often as its weight (B, prompts) says."""
    cells = (every.first * size + every.second) * 3 + every.outcomes
    tables = np.stack(
        [np.bincount(cells, row[every.prompts].astype(np.float64), size * size * 3) for row in weights]
    ).reshape(-1, size, size, 3)
    turned = tables.transpose(0, 2, 1, 3)
    return davidson.fit(tables[..., 0] + turned[..., 1], tables[..., 2] + turned[..., 2], prior=PRIOR)


if __name__ == "__main__":
    main()
