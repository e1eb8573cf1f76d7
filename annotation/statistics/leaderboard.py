"""A leaderboard of generators: strengths with intervals, and the paper's count of wins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotation.statistics import davidson
from annotation.statistics.estimates import (
    ENOUGH_PROMPTS,
    Booleans,
    Estimate,
    Floats,
    Integers,
    NotEnough,
    Resamples,
    estimate,
    too_few,
)
from annotation.statistics.panels import Panel, Placements, panels

PRIOR = 0.1  # ours: precision of strengths, weak enough to matter only for who wins nearly always
WON, LOST, TIED = range(3)


@dataclass(frozen=True)
class Contests:
    """Comparisons of two different items, one row each: what the first did against the second."""

    prompts: Integers
    first: Integers  # the item with the lower number
    second: Integers
    outcomes: Integers  # WON, LOST or TIED


@dataclass(frozen=True)
class Standing:
    """One item of a board. The first of a board has rank 1; `ranks` hold 95 % of the resamples."""

    item: int
    strength: Estimate  # log odds against the board's average
    rank: int
    ranks: tuple[int, int]
    wins: int  # #Win: as the best-placed image of each item beats those of the others
    losses: int
    ties: int


@dataclass(frozen=True)
class Board:
    """Items that were compared with each other, directly or through others; `standings` best first."""

    items: list[int]
    prompts: int
    standings: list[Standing] | NotEnough


def leaderboard(placed: Placements, items: Integers, *, resamples: Resamples) -> list[Board]:
    """Boards of the items that can be compared, the largest first; an item that met no other is on none.

    Strengths come from every pair of images by two items, wins from the best image of each alone: as in the
    paper, where people first pick the best of ten by one generator (ImageReward, section 2.3, Table 1).

    Args: items: (rows,) whose image each row of `placed` is, numbered from 0.
    """
    count = int(items.max(initial=-1)) + 1
    every = contests(placed, items)
    best = contests(*best_of_each(placed, items))
    met = np.zeros((count, count), bool)
    met[every.first, every.second] = True
    boards = []
    for members in _connected(met | met.T):
        within = np.isin(every.first, members)
        prompts = np.unique(every.prompts[within])
        if len(prompts) < ENOUGH_PROMPTS:
            standings: list[Standing] | NotEnough = too_few(len(prompts))
        else:
            standings = _standings(members, every, best, resamples, len(prompts))
        boards.append(Board([int(member) for member in members], len(prompts), standings))
    return sorted(boards, key=lambda board: (-board.prompts, board.items))


def contests(placed: Placements, items: Integers) -> Contests:
    """Every pair of images of different items, in every opinion."""
    images, at = np.unique(placed.images, return_index=True)
    whose = items[at]
    rows = [_contests(panel, whose[np.searchsorted(images, panel.images)]) for panel in panels(placed)]
    empty = np.zeros((0, 4), np.int64)
    return Contests(*np.concatenate([empty, *rows]).T)


def _contests(panel: Panel, items: Integers) -> Integers:
    """(rows, 4): prompt, first, second, outcome. Args: items: (n, K)."""
    one, other = np.triu_indices(items.shape[1], 1)
    verdicts = panel.verdicts  # (n, R, P)
    sides = (panel.prompts[:, None], items[:, one], items[:, other])
    prompts, first, second = (np.broadcast_to(side[:, None, :], verdicts.shape) for side in sides)
    flip = first > second
    verdicts = np.where(flip, -verdicts, verdicts)
    rows = np.stack([prompts, np.minimum(first, second), np.maximum(first, second)], axis=-1)
    counted = ~np.isnan(verdicts) & (first != second)
    outcomes = np.where(verdicts[counted] == 0, TIED, np.where(verdicts[counted] > 0, WON, LOST))
    return np.column_stack([rows[counted], outcomes])


def best_of_each(placed: Placements, items: Integers) -> tuple[Placements, Integers]:
    """One image for each item of an opinion: its best-placed one, under a number of its own."""
    count = int(items.max(initial=0)) + 1
    order = np.lexsort((placed.slots, items, placed.opinions))
    opinions, whose = placed.opinions[order], items[order]
    first = np.ones(len(order), bool)
    first[1:] = (opinions[1:] != opinions[:-1]) | (whose[1:] != whose[:-1])
    chosen = order[first]
    best = Placements(
        placed.prompts[chosen],
        placed.opinions[chosen],
        placed.raters[chosen],
        placed.prompts[chosen] * count + items[chosen],
        placed.slots[chosen],
        placed.scores[chosen],
    )
    return best, items[chosen]


def _connected(met: Booleans) -> list[Integers]:
    """Groups of two or more items that are linked by comparisons."""
    groups, unvisited = [], set(range(len(met)))
    while unvisited:
        group, edge = set[int](), {unvisited.pop()}
        while edge:
            group |= edge
            edge = {int(neighbour) for item in edge for neighbour in np.flatnonzero(met[item])} - group
        unvisited -= group
        if len(group) > 1:
            groups.append(np.array(sorted(group), np.int64))
    return groups


def _standings(
    members: Integers, every: Contests, best: Contests, resamples: Resamples, prompts: int
) -> list[Standing]:
    size = len(members)
    once = np.ones((1, resamples.prompts), np.float32)
    drawn = davidson.fit(*_tables(members, every, resamples.weights), prior=PRIOR).strengths  # (B, size)
    beaten, drew = _tables(members, every, once)
    [strengths] = davidson.fit(beaten, drew, prior=PRIOR).strengths
    [pairs] = beaten.sum(axis=2) + beaten.sum(axis=1) + drew.sum(axis=2)
    [won], [tied] = _tables(members, best, once)
    ranks = 1 + (-drawn).argsort(axis=1).argsort(axis=1)
    bounds = np.percentile(ranks, [2.5, 97.5], axis=0, method="nearest")
    standings = [
        Standing(
            item=int(members[i]),
            strength=estimate(strengths[i], drawn[:, i], prompts, int(pairs[i])),
            rank=int(1 + (strengths > strengths[i]).sum()),
            ranks=(int(bounds[0, i]), int(bounds[1, i])),
            wins=int(won[i].sum()),
            losses=int(won[:, i].sum()),
            ties=int(tied[i].sum()),
        )
        for i in range(size)
    ]
    return sorted(standings, key=lambda standing: standing.rank)


def _tables(members: Integers, of: Contests, weights: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Wins and ties (B, K, K) among the members, each prompt as often as its weight (B, prompts) says."""
    size = len(members)
    within = np.isin(of.first, members)
    first, second = (np.searchsorted(members, side[within]) for side in (of.first, of.second))
    cell = (first * size + second) * 3 + of.outcomes[within]
    rows, counts = np.unique(cell * weights.shape[1] + of.prompts[within], return_counts=True)
    cells, prompts = np.divmod(rows, weights.shape[1])
    sums = np.zeros((len(weights), size * size * 3))
    by_prompt = np.ascontiguousarray(weights.T)  # (prompts, B)
    for number in np.unique(cells):
        of_cell = cells == number
        sums[:, number] = counts[of_cell] @ by_prompt[prompts[of_cell]]
    tables = sums.reshape(len(weights), size, size, 3)
    turned = tables.transpose(0, 2, 1, 3)
    wins = tables[..., WON] + turned[..., LOST]
    ties = tables[..., TIED] + turned[..., TIED]
    return wins, ties
