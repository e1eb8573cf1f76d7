"""Training a reward model on rankings: it stops and resumes at any step without changing a number."""

from rewardmodel.learning.training.progress import (
    Interrupted,
    Progress,
    TrainingDiverged,
    TrainingResult,
    Validation,
)
from rewardmodel.learning.training.run import train
from rewardmodel.learning.training.state import forget

__all__ = [
    "Interrupted",
    "Progress",
    "TrainingDiverged",
    "TrainingResult",
    "Validation",
    "forget",
    "train",
]
