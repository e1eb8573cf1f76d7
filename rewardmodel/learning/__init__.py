"""A reward model of human preference on images: load one, score with it, train one.

Plain torch; needs neither Django nor a database. Importing it is cheap: torch comes with the first load.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from rewardmodel.learning.scoring import Scorer

__all__ = ["load"]


def load(path_or_hub_id: str | Path, device: str | torch.device | None = None) -> Scorer:
    """A model that scores images for prompts, from a checkpoint folder or a hub id.

    Args: device: where it computes; without one, on a GPU if there is one.
    Raises: CheckpointError naming the file that is missing or broken.
    """
    from rewardmodel.learning.scoring import load_scorer

    return load_scorer(path_or_hub_id, device)
