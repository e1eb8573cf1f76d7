"""D-optimal choice: the prompts whose answers together say most about what a reward is made of.

A reward is linear in what the model's head sees, so the answers about a prompt's images inform its weights
as observations inform a logistic regression: pair (i, j) by p (1 - p) (x_i - x_j)(x_i - x_j)^T, p the
probability that i is preferred. Chosen are prompts under which the determinant of all information grows most.
By default every pair is taken for open, p = 1/2: what a model of few rankings believes of a pair is wrong too
often to leave the pair out for it; in the small world more rankings were needed with it (`docs/method.md`).

Source: Shen, Sun and Ton, Active Reward Modeling, arXiv 2502.04354, section 3; greedy choice of a monotone
submodular function, of which old gains are upper bounds: Minoux, Accelerated greedy algorithms, 1978.

Letters: K images of a prompt, D the width of what the head sees.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STRENGTH = 10.0  # ours, of five tried: of the prior, as a multiple of what gives margins a variance of 1
DESIGNED = 1000  # ours: candidates that are chosen together; those after them come by their own gain alone
POOL = 4 * DESIGNED  # ours: with the largest gains, among which these are looked for


def information_root(features: Floats, rewards: Floats | None = None) -> Floats:
    """Return R with R^T R the information that an order of a prompt's images gives: (K - 1, D) at most.

    With w_ij = p (1 - p) of each pair, the sum over pairs of w_ij (x_i - x_j)(x_i - x_j)^T is X^T L X, where
    L is the Laplacian of the graph whose edges weigh w_ij.

    Args:
        features: (K, D), what the head sees of each image.
        rewards: (K,), in nats: sigmoid of a margin is a probability. None takes all to be equal.
    """
    rewards = np.zeros(len(features)) if rewards is None else rewards
    margin = rewards[:, None] - rewards[None, :]  # (K, K)
    decay = np.exp(-np.abs(margin))
    weights = decay / (1 + decay) ** 2  # p (1 - p), without overflow
    np.fill_diagonal(weights, 0.0)
    laplacian = np.diag(weights.sum(axis=1)) - weights
    values, vectors = np.linalg.eigh(laplacian)  # ascending; the first is 0, of the vector of ones
    return np.asarray(np.sqrt(np.maximum(values[1:, None], 0.0)) * (vectors[:, 1:].T @ features))


def prior_precision(features: Sequence[Floats]) -> float:
    """Return `STRENGTH` times the mean of |x_i - x_j|^2 over all pairs of images of one prompt.

    Weights drawn from N(0, 1 / mean) in each dimension give margins of a variance of 1 in the mean. So what
    is known before anybody has answered, and the choice, do not depend on the features' scale.

    Args: features: of each prompt, (K, D).
    """
    total, pairs = 0.0, 0
    for x in features:
        k = len(x)
        total += k * float(((x - x.mean(axis=0)) ** 2).sum())  # = the sum over pairs of |x_i - x_j|^2
        pairs += k * (k - 1) // 2
    return STRENGTH * total / pairs if total > 0 else 1.0


def d_optimal(
    candidates: Mapping[int, Floats],
    count: int,
    *,
    asked: Sequence[Floats] = (),
    precision: float,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[int]:
    """Return the keys of `count` candidates, each the one that adds most to the log-determinant at its turn.

    Of equal ones the first in order of keys; all where there are no more than `count`. Asked to stop, it
    returns those that were chosen until then.

    Args:
        candidates: by key, the root of the information that an answer gives, (R, D), as `information_root`.
        asked: the same of what was answered already, so that it is not asked again.
        precision: of the weights before any answer, above 0.
    """
    if not candidates:
        return []
    covariance = weight_covariance(asked, width=next(iter(candidates.values())).shape[1], precision=precision)
    # Gains only shrink as more is chosen: what leads by its old gain, and still does by its new, is the best.
    heap = [(-information_gain(root, covariance), key) for key, root in candidates.items()]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and len(chosen) < count and not should_stop():
        _, key = heapq.heappop(heap)
        gain = information_gain(candidates[key], covariance)
        if heap and (-gain, key) > heap[0]:
            heapq.heappush(heap, (-gain, key))
            continue
        chosen.append(key)
        covariance = _updated(covariance, candidates[key])
    return chosen


def most_gaining(
    roots: Iterable[tuple[int, Floats]], count: int, *, covariance: Floats
) -> tuple[dict[int, Floats], list[int]]:
    """Return the `count` candidates that gain most by themselves, with their roots, and all by that gain.

    No more roots than these are held at a time. Of equal ones the first in order of keys comes first.

    Args: roots: of each candidate, (R, D), one after the other.
    """
    gains: list[tuple[float, int]] = []
    pool: list[tuple[float, int, Floats]] = []  # a heap, of which the first gains least
    for key, root in roots:
        gain = information_gain(root, covariance)
        gains.append((-gain, key))
        heapq.heappush(pool, (gain, -key, root))
        if len(pool) > count:
            heapq.heappop(pool)
    return {-key: root for _, key, root in pool}, [key for _, key in sorted(gains)]


def weight_covariance(asked: Sequence[Floats], *, width: int, precision: float) -> Floats:
    """Return the covariance of the head's weights, (D, D), given what was asked; arguments as `d_optimal`."""
    rows = np.concatenate([np.empty((0, width)), *asked])
    return np.asarray(np.linalg.inv(precision * np.eye(width) + rows.T @ rows))


def information_gain(root: Floats, covariance: Floats) -> float:
    """Return log det(A + R^T R) - log det A for A the inverse of the covariance, by the determinant lemma."""
    return float(np.linalg.slogdet(np.eye(len(root)) + root @ covariance @ root.T)[1])


def _updated(covariance: Floats, root: Floats) -> Floats:
    """Return the inverse of A + R^T R, by Woodbury's identity."""
    half = root @ covariance  # (R, D)
    inner = np.eye(len(root)) + half @ root.T
    return np.asarray(covariance - half.T @ np.linalg.solve(inner, half))
