from rewardmodel.models.checkpoints import RewardCheckpoint
from rewardmodel.models.datasets import DatasetVersion
from rewardmodel.models.evaluations import Evaluation, EvaluationRun
from rewardmodel.models.promotions import PromotionRule
from rewardmodel.models.runs import Point, Run
from rewardmodel.models.selections import SelectionRun
from rewardmodel.models.training import TrainingPoint, TrainingPolicy, TrainingRun

__all__ = [
    "DatasetVersion",
    "Evaluation",
    "EvaluationRun",
    "Point",
    "PromotionRule",
    "RewardCheckpoint",
    "Run",
    "SelectionRun",
    "TrainingPoint",
    "TrainingPolicy",
    "TrainingRun",
]
