"""Runs that train a reward model, their curves, and the policy that starts the next one."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models

from annotation.models import Project
from rewardmodel.models.checkpoints import RewardCheckpoint
from rewardmodel.models.datasets import DatasetVersion
from rewardmodel.models.runs import Point, Run


class TrainingRun(Run):
    """Trains one checkpoint on one dataset version. `config` is a RewardConfig."""

    command = "train_reward_model"
    can_be_shared = can_span_hosts = True
    kind = "reward"
    inputs = {"dataset": "Dataset", "initial": "Starts from"}

    dataset = models.ForeignKey(DatasetVersion, models.PROTECT, related_name="runs")
    initial = models.ForeignKey(RewardCheckpoint, models.PROTECT, related_name="started_runs")
    # What training began with: {"hub_id": of its first weights, with the commit, or "", "trainable",
    # "parameters", "images", "unreadable", "unreadable_files": the first of them, file -> error, "dropped":
    # split -> rankings}. Empty until then. And "alarm": {"step", "reason"} where it learns nothing so far;
    # "" where it did not and does now.
    report = models.JSONField(default=dict)

    class Meta(Run.Meta):
        pass

    @property
    def train_share(self) -> float:
        """Of the dataset's training rankings, the share that it learns from."""
        return float(self.config.get("train_share", 1.0))

    @property
    def alarm(self) -> str:
        """Why it learns nothing so far; "" where it learns, or that cannot be said yet."""
        alarm: dict[str, str] = self.report.get("alarm") or {}
        return alarm.get("reason", "")

    @property
    def is_partial(self) -> bool:
        """Whether it learns from a part of the rankings, to be a point of a learning curve."""
        return self.train_share < 1

    @property
    def rankings(self) -> int:
        """How many rankings it learns from."""
        whole: int = self.dataset.counts["train"]["rankings"]
        return round(self.train_share * whole)


class TrainingPoint(Point):
    """Loss and accuracy at one step, at some steps also on the validation split."""

    run = models.ForeignKey(TrainingRun, models.CASCADE, related_name="points")

    class Meta(Point.Meta):
        pass


class TrainingPolicy(models.Model):
    """When a project's reward model is retrained, and how."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="training_policy")
    enabled = models.BooleanField(default=True)
    retrain_after = models.PositiveIntegerField(
        "finished rankings since the last dataset that start a run",
        default=100,
        validators=[MinValueValidator(1)],
    )
    config = models.JSONField(
        default=dict, blank=True
    )  # of a RewardConfig; fields not named keep their default

    class Meta:
        verbose_name_plural = "training policies"
        constraints = [
            models.CheckConstraint(
                name="retraining_waits_for_an_answer", condition=models.Q(retrain_after__gte=1)
            )
        ]

    def __str__(self) -> str:
        return f"training policy of {self.project}"
