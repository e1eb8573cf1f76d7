"""How long a set of prompts takes to choose from, once its texts are read, and how much memory it takes.

    .venv/bin/python -m benchmarks.prompt_selection [--sets 3] [--prompts 20000]

Vectors are drawn around 300 centres, 384 wide as those of the default encoder. Each set is timed alone, so
that the table shows whether later sets cost more.
"""

from __future__ import annotations

import argparse
import os
import resource
from time import perf_counter, process_time

import numpy as np

from rewardmodel.selection.config import SelectionConfig
from rewardmodel.selection.graph import choose, covered, covered_by_chance, nearest_neighbours

CENTRES, WIDTH, SPREAD = 300, 384, 1.2
ROW = "{:>4} {:>8} {:>7} {:>9} {:>9} {:>10} {:>10}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=SelectionConfig.set_size, help="of a set")
    asked = parser.parse_args()
    print(f"{asked.prompts:,} prompts a set, {len(os.sched_getaffinity(0))} core(s)")
    print(ROW.format("set", "seconds", "CPU s", "choosing", "peak MiB", "stood for", "by chance"))
    for number in range(1, asked.sets + 1):
        measure(number, asked.prompts)


def measure(number: int, prompts: int) -> None:
    config, chance = SelectionConfig(), np.random.default_rng(number)
    centres = chance.normal(size=(CENTRES, WIDTH))
    noise = SPREAD * chance.standard_normal((prompts, WIDTH), dtype=np.float32)
    vectors = (centres[chance.integers(CENTRES, size=prompts)] + noise).astype(np.float32)
    wall, cpu = perf_counter(), process_time()
    neighbours = nearest_neighbours(vectors, config.neighbours)
    choosing = process_time()
    choices = choose(neighbours, config.per_set, discount=config.discount)
    wall, cpu, choosing = perf_counter() - wall, process_time() - cpu, process_time() - choosing
    share = covered(neighbours, np.array([choice.vertex for choice in choices])) / prompts
    luck = covered_by_chance(prompts, config.neighbours, len(choices)) / prompts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = (f"{wall:.1f}", f"{cpu:.1f}", f"{choosing:.2f}")
    print(ROW.format(number, *times, f"{peak:.0f}", f"{share:.1%}", f"{luck:.1%}"), flush=True)


if __name__ == "__main__":
    main()
