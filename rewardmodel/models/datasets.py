"""Preferences frozen for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse

from annotation.models import Project

SPLITS = ("train", "validation", "test")


class SplitBy(models.TextChoices):
    """What decides the split of a prompt."""

    PUBLISHED = "published"  # the dataset that published it in one; else its text
    HASH = "hash"  # its text alone


class DatasetVersionQuerySet(models.QuerySet["DatasetVersion"]):
    def trained_on(self) -> DatasetVersionQuerySet:
        """Filter to those that a training run was asked for on, however it ended."""
        return self.filter(runs__isnull=False).distinct()


class DatasetVersion(models.Model):
    """Rankings of one project, frozen in a folder. It never changes; the same rows give the same hash."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="datasets")
    hash = models.CharField(max_length=64)  # sha256 of rankings.jsonl
    folder = models.CharField(max_length=200)  # below DATASETS_DIR
    # Split -> {"rankings", "pairs", "ties", "prompts", "images"}.
    counts = models.JSONField()
    shares = models.JSONField()  # split -> intended share of prompts
    answers = models.PositiveIntegerField()  # finished rankings at the time
    left_out = models.PositiveIntegerField()  # of these, rankings whose images were missing
    split_by = models.CharField(max_length=10, choices=SplitBy, default=SplitBy.HASH)
    # Split -> rankings left out because their text is also published in a split that takes precedence.
    repeated = models.JSONField(default=dict)
    newest_answer = models.DateTimeField(null=True)  # null: all were imported before this was recorded
    # People's own accuracy on the test split, where known. It may be added later: it is not part of the hash.
    ceiling = models.FloatField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DatasetVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "hash"], name="a_dataset_is_frozen_once"),
            models.CheckConstraint(
                name="a_ceiling_is_0_to_1",
                condition=models.Q(ceiling=None) | models.Q(ceiling__range=(0.0, 1.0)),
            ),
        ]

    def __str__(self) -> str:
        return self.hash[:12]

    @property
    def path(self) -> Path:
        return Path(settings.DATASETS_DIR) / self.folder

    @property
    def splits(self) -> list[tuple[str, dict[str, int]]]:
        """Each split with its counts, in the order train, validation, test."""
        return [(split, self.counts[split]) for split in SPLITS if split in self.counts]

    def get_absolute_url(self) -> str:
        """Return its place on the project's page of datasets; for admins."""
        return f"{reverse('project-models', args=[self.project.slug])}#dataset-{self}"

    def total(self, count: str) -> int:
        """Add up a count over all splits: rankings, pairs, ties, prompts or images."""
        splits: dict[str, Any] = self.counts
        return sum(split[count] for split in splits.values())
