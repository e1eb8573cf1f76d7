"""The figures of reward models on frozen datasets, and the runs that measure them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models import Project
from rewardmodel.models.checkpoints import RewardCheckpoint
from rewardmodel.models.datasets import DatasetVersion
from rewardmodel.models.runs import Run


class EvaluationRun(Run):
    """Several models on several datasets. `config` is an EvaluationConfig; a step is a model on a dataset.

    It has no points: nothing is measured on the way.
    """

    command = "evaluate_reward_model"
    kind = "evaluation"
    inputs = {}

    class Meta(Run.Meta):
        pass


class Evaluation(models.Model):
    """The latest figures of one model on one split of one dataset.

    `figures` is what `rewardmodel.learning.evaluation.report` gives. A model is a checkpoint, or a baseline
    by its published name.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="evaluations")
    checkpoint = models.ForeignKey(RewardCheckpoint, models.CASCADE, null=True, related_name="evaluations")
    baseline = models.CharField(max_length=20, blank=True)
    dataset = models.ForeignKey(DatasetVersion, models.CASCADE, related_name="evaluations")
    split = models.CharField(max_length=10)
    figures = models.JSONField()
    run = models.ForeignKey(EvaluationRun, models.SET_NULL, null=True, related_name="evaluations")
    measured_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-measured_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["checkpoint", "dataset", "split"], name="a_checkpoint_has_its_latest_figures"
            ),
            models.UniqueConstraint(
                fields=["project", "baseline", "dataset", "split"],
                condition=Q(checkpoint=None),
                name="a_baseline_has_its_latest_figures",
            ),
            models.CheckConstraint(
                name="a_checkpoint_or_a_baseline_is_evaluated",
                condition=Q(checkpoint=None) & ~Q(baseline="") | Q(checkpoint__isnull=False, baseline=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} on {self.split} of {self.dataset}"

    @property
    def model(self) -> str:
        """The name of what was evaluated."""
        return self.baseline if self.checkpoint is None else self.checkpoint.name

    @property
    def model_key(self) -> str:
        """Identifies the model within the project: a checkpoint may have the same name as a baseline."""
        return self.baseline or str(self.checkpoint_id)

    @property
    def ceiling(self) -> float | None:
        """People's own accuracy: as recorded with the dataset, else estimated from its judgements."""
        if self.split == "test" and self.dataset.ceiling is not None:
            return self.dataset.ceiling
        measured: dict[str, float] | None = self.figures.get("ceiling")
        return measured["value"] if measured else None
