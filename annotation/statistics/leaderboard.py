"""A leaderboard of generators: strengths with intervals, and the paper's count of wins.

What people say of one prompt hangs together, so that comparisons are no independent observations: the
intervals are those of the sandwich, with prompts as clusters, which is what drawing prompts again and again
comes to, without drawing.

Source: Huber, 1967, The behavior of maximum likelihood estimates under nonstandard conditions; Liang and
Zeger, 1986, Longitudinal data analysis using generalized linear models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotation.statistics import davidson
from annotation.statistics.estimates import (
    ENOUGH_PROMPTS,
    Booleans,
    Estimate,
    Floats,
    Integers,
    NotEnough,
    too_few,
)
from annotation.statistics.panels import Panel, Placements, panels

PRIOR = 0.1  # ours: precision of strengths, weak enough to matter only for who wins nearly always
WON, LOST, TIED = range(3)
WITHIN_95 = 1.959964  # standard deviations of a normal distribution that hold 95 % of it
DRAWS = 1000  # of strengths, which the intervals of ranks come from
SEED = 0  # of the draws: the same answers give the same board
TOGETHER = 1 << 14  # prompts whose sums are in memory at a time


@dataclass(frozen=True)
class Contests:
    """Comparisons of two different items, one row each: what the first did against the second."""

    prompts: Integers
    first: Integers  # the item with the lower number
    second: Integers
    outcomes: Integers  # WON, LOST or TIED


@dataclass(frozen=True)
class Standing:
    """One item of a board. The first has rank 1; `ranks` hold 95 % of what the strengths' spread gives."""

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


def leaderboard(placed: Placements, items: Integers) -> list[Board]:
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
            standings = _standings(members, every, best, len(prompts))
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


def _standings(members: Integers, every: Contests, best: Contests, prompts: int) -> list[Standing]:
    every, best = _among(members, every), _among(members, best)
    size = len(members)
    beaten, drew = _tables(size, every)
    fitted = davidson.fit(beaten[None], drew[None], prior=PRIOR)
    [strengths], spread = fitted.strengths, covariance(fitted, every, prior=PRIOR)
    margins = WITHIN_95 * np.sqrt(np.diag(spread).clip(0))  # rounded, 0 may be less
    drawn = np.random.default_rng(SEED).multivariate_normal(strengths, spread, size=DRAWS, method="eigh")
    ranks = 1 + (-drawn).argsort(axis=1).argsort(axis=1)
    bounds = np.percentile(ranks, [2.5, 97.5], axis=0, method="nearest")
    pairs = beaten.sum(axis=1) + beaten.sum(axis=0) + drew.sum(axis=1)
    won, tied = _tables(size, best)
    standings = [
        Standing(
            item=int(members[i]),
            strength=Estimate(
                float(strengths[i]),
                float(strengths[i] - margins[i]),
                float(strengths[i] + margins[i]),
                int(pairs[i]),
                prompts,
            ),
            rank=int(1 + (strengths > strengths[i]).sum()),
            ranks=(int(bounds[0, i]), int(bounds[1, i])),
            wins=int(won[i].sum()),
            losses=int(won[:, i].sum()),
            ties=int(tied[i].sum()),
        )
        for i in range(size)
    ]
    return sorted(standings, key=lambda standing: standing.rank)


def covariance(fitted: davidson.Strengths, of: Contests, *, prior: float) -> Floats:
    """How the strengths vary, were other prompts judged: (K, K), of what was fitted to these contests.

    The sandwich: the inverse of the information, twice, and between them the covariance of what each prompt
    adds to the gradient, that of the tie parameter included. Strengths are against their average.

    Args: prior: that the strengths were fitted with.
    """
    size = fitted.strengths.shape[1]
    beaten, drew = _tables(size, of)
    inverse = np.linalg.inv(davidson.information(fitted, beaten + beaten.T + drew, prior=prior))
    centre = np.eye(size) - 1 / size
    bread = centre @ inverse[:size]  # (K, K + 1)
    spread: Floats = bread @ _gradient_products(fitted, of) @ bread.T
    return spread


def _gradient_products(fitted: davidson.Strengths, of: Contests) -> Floats:
    """The covariance of the prompts' gradients, times the number of prompts: (K + 1, K + 1)."""
    width = fitted.strengths.shape[1] + 1
    of_strength, of_tie = davidson.scores(fitted)
    order = np.argsort(of.prompts, kind="stable")
    first, second, outcomes = of.first[order], of.second[order], of.outcomes[order]
    _, starts = np.unique(of.prompts[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    at = np.repeat(np.arange(len(starts)), ends - starts)
    gradient = of_strength[first, second, outcomes]
    products, total = np.zeros((width, width)), np.zeros(width)
    for begin in range(0, len(starts), TOGETHER):
        prompts = slice(starts[begin], ends[min(begin + TOGETHER, len(starts)) - 1])
        rows = (at[prompts] - begin) * width
        count = min(TOGETHER, len(starts) - begin) * width
        sums = np.bincount(rows + first[prompts], gradient[prompts], count)
        sums -= np.bincount(rows + second[prompts], gradient[prompts], count)
        ties = of_tie[first[prompts], second[prompts], outcomes[prompts]]
        sums += np.bincount(rows + width - 1, ties, count)
        by_prompt = sums.reshape(-1, width)
        products += by_prompt.T @ by_prompt
        total += by_prompt.sum(axis=0)
    return np.asarray(products - np.outer(total, total) / len(starts), np.float64)


def _among(members: Integers, of: Contests) -> Contests:
    """The contests among the members, which are numbered by their places."""
    places = np.full(1 + max(members.max(), of.second.max(initial=0)), -1, np.int64)
    places[members] = np.arange(len(members))
    first = places[of.first]
    within = first >= 0  # then the second is one of them too
    return Contests(of.prompts[within], first[within], places[of.second[within]], of.outcomes[within])


def _tables(size: int, of: Contests) -> tuple[Floats, Floats]:
    """How often each item beat each other, and tied with it: (K, K) twice."""
    cells = (of.first * size + of.second) * 3 + of.outcomes
    table = np.bincount(cells, minlength=size * size * 3).reshape(size, size, 3).astype(np.float64)
    turned = table.transpose(1, 0, 2)
    return table[..., WON] + turned[..., LOST], table[..., TIED] + turned[..., TIED]
