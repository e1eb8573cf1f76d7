"""How often a blind study of equals names a winner when it is looked at after every prompt, and its length.

    .venv/bin/python -m benchmarks.studies [--studies 1000] [--captions 300]

Equals are simulated in five ways: without ties, with ties, with prompts that differ (three opinions on each,
so that votes on one prompt are dependent), four generators ranked at once, and four in pairs, every two
compared. Beside the study's interval stands an ordinary 95 % interval of the same votes, looked at as often,
and looked at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import combinations

import numpy as np

from annotation.statistics.estimates import Booleans, Floats
from annotation.statistics.sequential import HALF, log_wealth, power_at, rich
from annotation.statistics.win_rates import each_confidence, verdict, win_rate

CONFIDENCE, NORMAL = 0.95, 1.959964
FIRST_LOOK = 10  # of the ordinary interval: earlier ones are nonsense by its own measure
ROW = "{:<44} {:>12} {:>16} {:>14}"
LENGTHS = "{:>6} {:>10} {:>8} {:>8} {:>12} {:>12}"
RATES = (0.55, 0.6, 0.65, 0.7, 0.8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--captions", type=int, default=300)
    asked = parser.parse_args()
    print(f"{asked.studies:,} studies of equals, {asked.captions} prompts, looked at after each\n")
    print(ROW.format("a winner was named among equals", "the study's", "ordinary, always", "ordinary, once"))
    for title, generators, draw in WAYS:
        rng = np.random.default_rng(0)
        found = np.array([_named(draw(rng, asked.captions), generators) for _ in range(asked.studies)])
        print(ROW.format(title, *(f"{share:.1%}" for share in found.mean(axis=0))), flush=True)
    print("\nvotes until the better one is named, each on a prompt of its own")
    print(LENGTHS.format("share", "fixed", "mean", "median", "8 of 10", "simulated"))
    for rate in RATES:
        power = power_at(rate, confidence=CONFIDENCE)
        simulated = _simulated_mean(rate, asked.studies, longest=8 * power.fixed)
        figures = (power.fixed, f"{power.mean:.0f}", power.median, power.most, f"{simulated:.0f}")
        print(LENGTHS.format(f"{rate:.0%}", *figures), flush=True)


def _without_ties(rng: np.random.Generator, prompts: int) -> Floats:
    return (rng.random((1, prompts, 1)) < HALF).astype(np.float64)


def _with_ties(rng: np.random.Generator, prompts: int) -> Floats:
    votes = _without_ties(rng, prompts)
    votes[rng.random(votes.shape) < 0.3] = HALF
    return votes


def _differing_prompts(rng: np.random.Generator, prompts: int) -> Floats:
    """On each prompt one image is clearly better, of one generator as often as of the other."""
    preferred = rng.beta(0.5, 0.5, (1, prompts, 1))
    return (rng.random((1, prompts, 3)) < preferred).astype(np.float64)


def _four_ranked(rng: np.random.Generator, prompts: int) -> Floats:
    """Every two of four generators, from one ranking of all four a prompt."""
    quality = rng.random((4, prompts, 1))
    return np.array([quality[one] > quality[other] for other, one in combinations(range(4), 2)], np.float64)


def _four_in_pairs(rng: np.random.Generator, prompts: int) -> Floats:
    """Every two of four generators, each pair in a task of its own."""
    return (rng.random((6, prompts, 1)) < HALF).astype(np.float64)


# title, generators, draws (comparisons, prompts, opinions) votes
WAYS: list[tuple[str, int, Callable[[np.random.Generator, int], Floats]]] = [
    ("two generators", 2, _without_ties),
    ("two generators, 30 % ties", 2, _with_ties),
    ("two generators, prompts differ, 3 opinions", 2, _differing_prompts),
    ("four generators, ranked", 4, _four_ranked),
    ("four generators, in pairs", 4, _four_in_pairs),
]


def _named(votes: Floats, generators: int) -> tuple[bool, bool, bool]:
    """Whether a winner was named: by the study ever, by an ordinary interval ever, and at the last look."""
    confidence = each_confidence(CONFIDENCE, generators)
    means = votes.mean(axis=2)  # (comparisons, prompts): a prompt is one observation
    ever = [_refuted(row, confidence) for row in means]
    prompts = np.repeat(np.arange(votes.shape[1]), votes.shape[2])
    for row, refuted in zip(votes, ever, strict=True):  # the rate that is reported says so at the last look
        result = win_rate(prompts, row.ravel(), np.ones(len(prompts), bool), confidence=confidence)
        assert refuted[-1] == (verdict(result.interval, margin=0.0) in ("better", "worse"))
    single = votes.reshape(len(votes), -1)  # as if every vote were independent
    numbers = np.arange(1, single.shape[1] + 1)
    share = single.cumsum(axis=1) / numbers
    spread = np.sqrt(np.maximum((single**2).cumsum(axis=1) / numbers - share**2, 1e-9) / numbers)
    outside = np.abs(share - HALF) > NORMAL * spread
    return any(row.any() for row in ever), bool(outside[:, FIRST_LOOK:].any()), bool(outside[:, -1].any())


def _refuted(observations: Floats, confidence: float) -> Booleans:
    """Whether one half is left out by the interval, after each observation: (n,)."""
    values = np.unique(observations)
    counts = (observations[:, None] == values).cumsum(axis=0).astype(np.float64)  # (n, V)
    up, down = log_wealth(counts, values, HALF), log_wealth(counts, 1 - values, HALF)
    return np.maximum(up, down) >= rich(confidence)


def _simulated_mean(rate: float, studies: int, *, longest: int) -> float:
    rng = np.random.default_rng(1)
    lengths = []
    for _ in range(studies):
        refuted = _refuted((rng.random(longest) < rate).astype(np.float64), CONFIDENCE)
        lengths.append(int(refuted.argmax()) + 1 if refuted.any() else longest)
    return float(np.mean(lengths))


if __name__ == "__main__":
    main()
