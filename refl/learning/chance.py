"""What is random in a run, drawn sample by sample.

The draws of a sample follow from the run's seed, the update and the sample's place in the batch. So neither
the size of microbatches nor the number of processes changes a number, and a checkpoint holds no state of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

# One generator a sample, each on the CPU. diffusers takes such a list wherever it takes a `generator`.
Rng = list[torch.Generator]


def rng_at(seed: int, update: int, places: Iterable[int]) -> Rng:
    """Return the generators of an update's samples.

    Args: update: counted over the whole run; places: of the samples in the batch of all processes.
    """
    return [_generator(seed, update, place) for place in places]


def _generator(*key: int) -> torch.Generator:
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def split(rng: Rng, count: int) -> Rng:
    """Return `count` generators for each, one after the other, which follow from it. (B * count)"""
    seeds = (torch.randint(2**62, (count,), generator=generator).tolist() for generator in rng)
    return [torch.Generator().manual_seed(seed) for each in seeds for seed in each]


def randn(shape: Sequence[int], rng: Rng) -> Tensor:
    """Draw from the normal distribution; `shape` is that of one sample. (B, *shape)"""
    draws = (torch.randn(1, *shape, generator=generator) for generator in rng)
    return torch.cat([torch.zeros(0, *shape), *draws])


def rand(rng: Rng) -> Tensor:
    """Draw from 0..1. (B,)"""
    return torch.cat([torch.zeros(0), *(torch.rand(1, generator=generator) for generator in rng)])


def randint(low: int, high: int, rng: Rng) -> Tensor:
    """Draw whole numbers from `low` up to `high` - 1. (B,) int64"""
    draws = (torch.randint(low, high, (1,), generator=generator) for generator in rng)
    return torch.cat([torch.zeros(0, dtype=torch.long), *draws])


def indices_at(update: int, count: int, size: int, key: Sequence[int]) -> list[int]:
    """Which of `count` examples an update's batch holds: passes without repeats, each in a new order.

    Args: size: of the batch; key: whole numbers from which the orders follow.
    """
    places = [divmod(place, count) for place in range(update * size, (update + 1) * size)]
    orders = {epoch: np.random.default_rng((*key, epoch)).permutation(count) for epoch, _ in places}
    return [int(orders[epoch][place]) for epoch, place in places]
