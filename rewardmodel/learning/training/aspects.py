"""Heads beside the reward's, put on the model that a run starts from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from rewardmodel.learning.data.rankings import DatasetError, Ranking
from rewardmodel.learning.model.aspects import shares
from rewardmodel.learning.model.heads import AspectHead
from rewardmodel.learning.model.reward import RewardModel


def add_heads(model: RewardModel, aspects: Sequence[str], rankings: Sequence[Ranking]) -> None:
    """Have heads for these aspects; new ones start at how often people said yes in the rankings.

    Raises: DatasetError where nobody said anything of an aspect; CheckpointError where the model can have
        no such heads.
    """
    new = [name for name in aspects if name not in model.aspect_heads]
    model.set_aspects(aspects)
    for name in aspects:
        said = shares(_answers(rankings, name))
        if not said:
            raise DatasetError(
                f"no training ranking says anything of {name}: freeze the dataset with ratings"
            )
        if name in new:
            cast(AspectHead, model.aspect_heads[name]).start_at(said)


def _answers(rankings: Iterable[Ranking], aspect: str) -> Iterator[tuple[bool, ...]]:
    for ranking in rankings:
        for answer in ranking.aspects.get(aspect, ()):
            if answer is not None:
                yield answer
