from rewardmodel.models.runs import Point, Run

__all__ = ["Point", "Run"]
