"""Scoring with a project's promoted reward model: what refl calls. Torch comes with the first call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.models import Project
from rewardmodel.models import RewardCheckpoint
from rewardmodel.selectors import promoted_checkpoint

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import Scorer


def promoted_scorer(project: Project, *, device: Any = None) -> Scorer:
    """The project's promoted reward model, loaded. Raises: NothingPromoted, CheckpointError."""
    return scorer(promoted_checkpoint(project), device=device)


def scorer(checkpoint: RewardCheckpoint, *, device: Any = None) -> Scorer:
    """A reward model, loaded. Raises: CheckpointError.

    Args: device: a torch device or its name; None takes a GPU where there is one.
    """
    from rewardmodel.learning import load

    return load(checkpoint.location, device)


def score(project: Project, prompt: str, images: Sequence[Path]) -> list[float]:
    """Score images for a prompt with the promoted model. Raises: NothingPromoted, CheckpointError."""
    return promoted_scorer(project).score(prompt, images)
