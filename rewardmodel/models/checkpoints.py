"""Reward models, trained by runs or registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from annotation.models import Project


class RewardCheckpointQuerySet(models.QuerySet["RewardCheckpoint"]):
    def registered(self) -> RewardCheckpointQuerySet:
        """Filter to those that no run produced: what training starts from."""
        return self.filter(run=None)

    def promoted(self) -> RewardCheckpointQuerySet:
        """Filter to those in use, at most one per project, with the run that produced each."""
        return self.filter(promoted=True).select_related("run")


class RewardCheckpoint(models.Model):
    """One reward model of a project, trained by a run or registered from a folder or the hub.

    `metrics` is empty until it was evaluated, then
    {"dataset", "accuracy", "accuracy_by_prompt", "interval", "pairs", "prompts", "ceiling", "beside"}; beside
    holds, for each model evaluated on the same pairs, the same figures and {"id", "name", "difference",
    "difference_interval"}: this accuracy minus the other's, with its paired 95 % interval.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="reward_checkpoints")
    name = models.CharField(max_length=100)
    folder = models.CharField(max_length=500, blank=True)  # or file, or hub id; empty: its run's
    run = models.OneToOneField(
        "rewardmodel.TrainingRun", models.PROTECT, null=True, related_name="checkpoint"
    )
    metrics = models.JSONField(default=dict)
    promoted = models.BooleanField(default=False)
    promoted_at = models.DateTimeField(null=True)  # when last; stays after another took its place
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RewardCheckpointQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="a_checkpoint_name_is_used_once"),
            models.UniqueConstraint(
                fields=["project"], condition=Q(promoted=True), name="one_checkpoint_is_promoted"
            ),
            models.CheckConstraint(
                name="a_promotion_has_its_time",
                condition=Q(promoted=False) | Q(promoted_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the page of its run, else of the project's models; for admins."""
        if self.run_id is None:
            return reverse("project-models", args=[self.project.slug])
        return reverse("training-run", args=[self.project.slug, self.run_id])

    @property
    def location(self) -> str:
        """Where `rewardmodel.learning.load` finds it: a folder, a published file or a hub id."""
        if self.run is not None:
            return str(self.run.folder / "best")
        shipped: Path = settings.ROOT / self.folder
        return str(shipped) if shipped.exists() else self.folder

    @property
    def accuracy(self) -> float | None:
        """Share of test pairs ordered as people ordered them; None before evaluation."""
        metrics: dict[str, Any] = self.metrics
        return metrics.get("accuracy")
