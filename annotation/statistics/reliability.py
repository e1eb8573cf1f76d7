"""How often each person states the images' true order, estimated from others' answers on the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotation.statistics.estimates import Floats, Integers
from annotation.statistics.panels import Panel

RIGHT, WRONG = 4.0, 1.0  # ours: verdicts everybody starts with, so that few answers say little
ROUNDS = 200
CLOSE = 1e-6


@dataclass(frozen=True)
class Reliability:
    """`right[i]` is the probability that person i's preference is the true one, from 0 to 1.

    `verdicts[i]` counts the preferences of theirs that somebody else's can be held against.
    """

    right: Floats  # (people,)
    verdicts: Integers  # (people,)

    @property
    def weights(self) -> Floats:
        """(people,) what an opinion counts: 1 on average over people, 0 for who is right half the time.

        The log odds of being right: the best weights of a majority vote.

        Source: Nitzan and Paroush, 1982, Optimal decision rules in uncertain dichotomous choice situations.
        """
        odds = np.maximum(np.log(self.right / (1 - self.right)), 0)
        mean = odds.mean() if len(odds) else 0.0
        return odds / mean if mean > 0 else np.ones_like(odds)


def reliability(by_shape: Sequence[Panel], people: int) -> Reliability:
    """Estimate how often each person is right, without known truth, by expectation maximisation.

    Each pair has one true order. Each person states it with a probability of their own; ties say nothing.

    Source: Dawid and Skene, 1979, with one probability a person; both orders are equally likely beforehand.
    """
    compared, raters = _compared_verdicts(by_shape)
    verdicts = sum(
        (
            np.bincount(ids.ravel(), (votes != 0).sum(axis=-1).ravel(), people)
            for votes, ids in zip(compared, raters, strict=True)
        ),
        np.zeros(people),
    )
    right = np.full(people, RIGHT / (RIGHT + WRONG))
    for _ in range(ROUNDS):
        odds = np.log(right / (1 - right))
        agreed = np.zeros(people)
        for votes, ids in zip(compared, raters, strict=True):
            evidence = (votes * odds[ids][:, :, None]).sum(axis=1)  # (n, P): log odds that the first wins
            first_better = 1 / (1 + np.exp(-evidence))[:, None, :]
            hits = np.where(votes > 0, first_better, np.where(votes < 0, 1 - first_better, 0))
            agreed += np.bincount(ids.ravel(), hits.sum(axis=-1).ravel(), people)
        previous, right = right, (agreed + RIGHT) / (verdicts + RIGHT + WRONG)
        if np.abs(right - previous).max(initial=0) < CLOSE:
            break
    return Reliability(right, verdicts.astype(np.int64))


def _compared_verdicts(by_shape: Sequence[Panel]) -> tuple[list[Floats], list[Integers]]:
    """Verdicts (n, R, P), 0 where a person ties or nobody else has a preference; and whose they are."""
    compared, raters = [], []
    for panel in by_shape:
        if panel.raters.shape[1] < 2:
            continue
        known = np.nan_to_num(panel.verdicts)
        others = sum(np.abs(known[:, i : i + 1]) * _is_other(panel, i) for i in range(known.shape[1]))
        compared.append(np.where(others > 0, known, 0))
        raters.append(panel.raters)
    return compared, raters


def _is_other(panel: Panel, opinion: int) -> Floats:
    """(n, R, 1): 1 where the opinion is somebody else's than that one."""
    other: Floats = (panel.raters != panel.raters[:, opinion : opinion + 1]).astype(np.float64)
    return other[:, :, None]
