"""Scoring with a project's reward models: what refl calls. Torch comes with the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewardmodel.models import RewardCheckpoint

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import Scorer


def scorer(checkpoint: RewardCheckpoint) -> Scorer:
    """A reward model, loaded, on a GPU where there is one. Raises: CheckpointError."""
    from rewardmodel.learning import load

    return load(checkpoint.location)
