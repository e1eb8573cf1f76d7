from rewardmodel.models.checkpoints import RewardCheckpoint
from rewardmodel.models.datasets import DatasetVersion
from rewardmodel.models.runs import Point, Run
from rewardmodel.models.training import TrainingPoint, TrainingPolicy, TrainingRun

__all__ = [
    "DatasetVersion",
    "Point",
    "RewardCheckpoint",
    "Run",
    "TrainingPoint",
    "TrainingPolicy",
    "TrainingRun",
]
