"""Training a reward model on rankings: it stops and resumes at any step without changing a number."""

from rewardmodel.learning.training.distributed import PeerFailed
from rewardmodel.learning.training.inspection import unreadable_images
from rewardmodel.learning.training.progress import (
    Progress,
    Start,
    TrainingDiverged,
    TrainingResult,
    Validation,
)
from rewardmodel.learning.training.state import forget
from rewardmodel.learning.training.train import dismiss, follow, train

__all__ = [
    "PeerFailed",
    "Progress",
    "Start",
    "TrainingDiverged",
    "TrainingResult",
    "Validation",
    "dismiss",
    "follow",
    "forget",
    "train",
    "unreadable_images",
]
