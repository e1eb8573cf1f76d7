"""The pairs on which a model is most confident: those it orders as people do, and those it does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rewardmodel.learning.data.rankings import Ranking


@dataclass(frozen=True)
class Example:
    """Two images of one prompt, by the names of their files without suffix.

    `votes` are of the image that most people prefer, `other_votes` of the other; ties are no votes.
    """

    prompt: str
    preferred: str
    other: str
    votes: int
    other_votes: int
    reward: float
    other_reward: float


def confident_pairs(
    rewards: Sequence[Sequence[float]], rankings: Sequence[Ranking], *, count: int
) -> tuple[list[Example], list[Example]]:
    """Return at most `count` pairs ordered as most people do, and as many that are not, the widest first.

    A pair that as many prefer one way as the other is neither, nor is one with equal rewards. Of each prompt
    only the widest pair of either kind is given.
    """
    votes: dict[tuple[str, str, str], int] = defaultdict(int)  # for the first image over the second
    reward_of: dict[tuple[str, str], float] = {}
    for scores, ranking in zip(rewards, rankings, strict=True):
        names = [image.stem for image in ranking.images]
        reward_of |= {(ranking.prompt, name): score for name, score in zip(names, scores, strict=True)}
        for better, place in zip(names, ranking.places, strict=True):
            for worse, other_place in zip(names, ranking.places, strict=True):
                if place < other_place:
                    votes[ranking.prompt, better, worse] += 1
    pairs = [
        Example(
            prompt,
            preferred,
            other,
            number,
            votes.get((prompt, other, preferred), 0),
            reward_of[prompt, preferred],
            reward_of[prompt, other],
        )
        for (prompt, preferred, other), number in votes.items()
        if number > votes.get((prompt, other, preferred), 0)
    ]
    return (
        _widest([pair for pair in pairs if pair.reward > pair.other_reward], count),
        _widest([pair for pair in pairs if pair.reward < pair.other_reward], count),
    )


def _widest(pairs: Sequence[Example], count: int) -> list[Example]:
    by_prompt: dict[str, Example] = {}
    for pair in sorted(pairs, key=lambda pair: -abs(pair.reward - pair.other_reward)):
        by_prompt.setdefault(pair.prompt, pair)
    return list(by_prompt.values())[:count]
