"""The paper's graph selection: prompts vote for those most like them, and the crowd's favourites go in.

Source: ImageReward (arXiv 2304.05977), section 2.1, which takes vote-k of Su et al., "Selective annotation
makes language models better few-shot learners" (arXiv 2209.01975). Letters: N prompts of a set, D width of a
vector, K neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
BLOCK = 512  # rows of similarities held at once
NEARLY = 1e-9  # scores closer than this are compared as fractions, not as floats


@dataclass(frozen=True)
class Choice:
    """One chosen vertex: its score when it was chosen, and how many vertices vote for it."""

    vertex: int
    score: float
    voters: int


def partition(count: int, *, set_size: int, seed: int) -> list[Ints]:
    """Positions 0 to count - 1, shuffled into sets of about `set_size`, none empty."""
    shuffled = np.random.default_rng(seed).permutation(count)
    return np.array_split(shuffled, max(1, round(count / set_size)))


def nearest_neighbours(
    vectors: Floats,
    k: int,
    *,
    block: int = BLOCK,
    on_rows: Callable[[int], object] = lambda rows: None,
) -> Ints:
    """For each vertex the k others of highest cosine similarity; of equal ones the earlier.

    Args:
        vectors: (N, D), of any length but 0.
        k: all others where there are fewer.
        on_rows: called with the number of rows done since the last call.
    Returns: (N, K), ascending in each row.
    """
    n = len(vectors)
    k = min(k, n - 1)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    neighbours = np.empty((n, k), np.int64)
    for start in range(0, n if k else 0, block):
        similar = unit[start : start + block] @ unit.T  # (B, N)
        rows = np.arange(len(similar))
        similar[rows, start + rows] = -np.inf  # nobody votes for itself
        neighbours[start : start + block] = _largest(similar, k)
        on_rows(len(similar))
    return neighbours


def choose(neighbours: Ints, count: int, *, discount: float) -> list[Choice]:
    """Choose vertices by votes: each votes for its neighbours, with votes that count less as it is served.

    A vote of vertex i counts discount ** -times(i), times(i) being how many of the chosen i voted for; votes
    of chosen vertices do not count. Each time the vertex with the most is chosen; of equal ones the one with
    more voters, then the earlier. After each choice only the scores of vertices that share a voter with the
    chosen one change, and they change exactly: what is kept is how many votes of each weight a vertex has.

    Args: neighbours: (N, K), distinct in each row.
    Returns: in the order chosen; fewer than `count` where nobody votes for what is left.
    """
    n, k = neighbours.shape
    voters_of, first = _voters(neighbours)
    totals = np.diff(first)  # (N,) voters of each vertex
    times, chosen = np.zeros(n, np.int64), np.zeros(n, bool)
    votes = np.zeros((min(count, k) + 1, n), np.int64)  # [t, u]: unchosen voters of u with times t
    votes[0] = totals
    choices: list[Choice] = []
    while len(choices) < min(count, n):
        counted = votes[: times.max(initial=0) + 1]
        best, score = _favourite(counted, discount, totals, chosen)
        if score <= 0:
            break
        choices.append(Choice(best, score, int(totals[best])))
        chosen[best] = True
        votes[times[best], neighbours[best]] -= 1
        voters = voters_of[first[best] : first[best + 1]]
        _serve(voters[~chosen[voters]], neighbours, times, votes)
    return choices


def covered(neighbours: Ints, chosen: Ints) -> int:
    """How many vertices are chosen or voted for one that is."""
    is_chosen = np.zeros(len(neighbours), bool)
    is_chosen[chosen] = True
    return int((is_chosen | is_chosen[neighbours].any(axis=1)).sum())


def covered_by_chance(n: int, k: int, count: int) -> float:
    """How many vertices `covered` counts on average where `count` of n are drawn blindly."""
    if count > n - k - 1:
        return float(n)
    missed = sum(math.log1p(-(k + 1) / (n - drawn)) for drawn in range(count))
    return -n * math.expm1(missed)


def _largest(values: Floats, k: int) -> Ints:
    """Where the k largest of each row are, of equal ones the first; (B, N) -> (B, K), ascending.

    The k-th largest of the maxima of groups is no larger than the k-th largest value: a quick look at the
    maxima leaves little more than k values a row to sort.
    """
    n = values.shape[1]
    groups = min(n, 8 * k)
    size = n // groups
    maxima = values[:, : size * groups].reshape(-1, size, groups).max(axis=1)  # (B, groups)
    bound = np.partition(maxima, groups - k, axis=1)[:, groups - k]  # (B,)
    row, column = np.nonzero(values >= bound[:, None])  # (C,) each, at least k a row
    order = np.lexsort((column, -values[row, column], row))
    first = np.searchsorted(row, np.arange(len(values)))  # (B,)
    best = order[first[:, None] + np.arange(k)]  # (B, K)
    return np.sort(column[best], axis=1)


def _voters(neighbours: Ints) -> tuple[Ints, Ints]:
    """Who votes for whom: those of vertex u stand at first[u] up to first[u + 1] of the first array."""
    n, k = neighbours.shape
    flat = neighbours.ravel()
    voters_of = np.argsort(flat, kind="stable") // max(k, 1)
    first = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=n))])
    return voters_of, first


def _serve(voters: Ints, neighbours: Ints, times: Ints, votes: Ints) -> None:
    """One more of their neighbours was chosen: their votes move on by one."""
    for t in np.unique(times[voters]):
        served = neighbours[voters[times[voters] == t]]  # (M, K)
        moved = np.bincount(served.ravel(), minlength=votes.shape[1])
        votes[t] -= moved
        votes[t + 1] += moved
    times[voters] += 1


def _favourite(votes: Ints, discount: float, totals: Ints, chosen: NDArray[np.bool_]) -> tuple[int, float]:
    """The unchosen vertex of highest score, and that; votes (T, N)."""
    scores = discount ** -np.arange(len(votes), dtype=float) @ votes  # (N,)
    scores[chosen] = -1.0
    best = scores.max()
    close = np.flatnonzero(scores >= best * (1 - NEARLY))
    if len(close) > 1 and best > 0:
        patterns, pattern_of = np.unique(votes[:, close], axis=1, return_inverse=True)
        exact = [_exact(pattern, discount) for pattern in patterns.T]
        most = max(exact)
        close = close[np.array([value == most for value in exact])[pattern_of.ravel()]]
    favourite = int(close[np.argmax(totals[close])])  # the first of the largest
    return favourite, float(scores[favourite])


def _exact(votes: Ints, discount: float) -> Fraction:
    """A score without rounding; votes (T,)."""
    return sum((int(number) / Fraction(discount) ** t for t, number in enumerate(votes)), Fraction(0))
