"""Training a reward model on rankings: it stops and resumes at any step without changing a number."""

from rewardmodel.learning.training.distributed import PeerFailed
from rewardmodel.learning.training.inspection import INSPECTED, unreadable_images
from rewardmodel.learning.training.loop import join, release_peers, train
from rewardmodel.learning.training.progress import (
    Callbacks,
    Progress,
    Start,
    TrainingDiverged,
    TrainingResult,
    Validation,
)
from rewardmodel.learning.training.run import TrainingArguments
from rewardmodel.learning.training.state import STATE, discard_state

__all__ = [
    "INSPECTED",
    "STATE",
    "Callbacks",
    "PeerFailed",
    "Progress",
    "Start",
    "TrainingArguments",
    "TrainingDiverged",
    "TrainingResult",
    "Validation",
    "discard_state",
    "join",
    "release_peers",
    "train",
    "unreadable_images",
]
