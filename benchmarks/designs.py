"""The order of open tasks by a design: seconds and memory of the choice, without what the model sees.

    .venv/bin/python -m benchmarks.designs [--prompts 10000] [--images 9] [--width 768]

What the head sees of each image is drawn at random, so that no prompt leads by far: the worst case for a
choice that looks again only at what may lead.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Iterator
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from rewardmodel.selection.design import (
    DESIGNED,
    POOL,
    d_optimal,
    information_root,
    most_gaining,
    prior_precision,
    weight_covariance,
)

ASKED = 500  # prompts whose answers are remembered, as `rewardmodel.services.choices.MOST_ASKED`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("prompts", 10_000), ("images", 9), ("width", 768)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    rng = np.random.default_rng(0)

    def features(count: int) -> Iterator[NDArray[np.float64]]:
        for _ in range(count):
            yield rng.standard_normal((options.images, options.width))

    asked = list(features(ASKED))
    precision = prior_precision(asked)
    told = [information_root(each) for each in asked]
    covariance = weight_covariance(told, width=options.width, precision=precision)
    before, start = peak_memory(), perf_counter()
    roots = ((key, information_root(each)) for key, each in enumerate(features(options.prompts)))
    pool, order = most_gaining(roots, POOL, covariance=covariance)
    gained = perf_counter()
    chosen = d_optimal(pool, DESIGNED, asked=told, precision=precision)
    chose = perf_counter()
    print(f"{len(order):,} prompts of {options.images} images, {options.width} wide")
    print(f"gain of each: {gained - start:.1f} s")
    print(f"{len(chosen):,} of {len(pool):,} chosen together: {chose - gained:.1f} s")
    print(f"memory: {peak_memory() - before:.0f} MiB more at the peak")


def peak_memory() -> float:
    """Return the largest that this process ever was, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
