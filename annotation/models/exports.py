"""Exports asked for, as rows: who asked for what, how far it is, which file came of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models.people import User
from annotation.models.projects import Project

ACTIVE = ["queued", "running"]


class ExportQuerySet(models.QuerySet["Export"]):
    def active(self) -> ExportQuerySet:
        """Waiting or at work."""
        return self.filter(state__in=ACTIVE)

    def silent(self, *, now: datetime) -> ExportQuerySet:
        """At work by their row, but nothing was heard of them for too long."""
        patience = timedelta(seconds=settings.RUN_SILENCE_SECONDS)
        return self.filter(state=Export.State.RUNNING, heartbeat__lt=now - patience)


class Export(models.Model):
    """One export asked for. Its row is the truth; `attempt` fences off a worker given up for dead.

    It holds the answers that had been accepted when it was asked for, however late it is written.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"
        CANCELLED = "cancelled"

    project = models.ForeignKey(Project, models.CASCADE, related_name="exports")
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="exports")
    format = models.CharField(max_length=20)
    with_images = models.BooleanField(default=True)
    accepted_after = models.DateTimeField(null=True)  # null: from the first answer on
    accepted_until = models.DateTimeField()
    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    heartbeat = models.DateTimeField(null=True)
    cancel_requested = models.BooleanField(default=False)
    rankings = models.PositiveIntegerField(default=0)  # written so far
    rankings_wanted = models.PositiveIntegerField(default=0)  # 0: not counted yet
    pairs = models.PositiveBigIntegerField(default=0)  # in different slots
    ties = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = ExportQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["id"], condition=Q(state__in=ACTIVE), name="export_active")]
        constraints = [
            models.CheckConstraint(
                name="export_state_is_known",
                condition=Q(state__in=["queued", "running", "finished", "failed", "cancelled"]),
            ),
            models.CheckConstraint(
                name="an_export_at_work_has_a_heart",
                condition=~Q(state="running") | Q(heartbeat__isnull=False),
            ),
            models.CheckConstraint(
                name="only_a_finished_export_has_a_file",
                condition=Q(state="finished", bytes__isnull=False) & ~Q(sha256="")
                | (~Q(state="finished") & Q(bytes=None, sha256="")),
            ),
            models.CheckConstraint(
                name="an_export_that_is_over_has_its_time",
                condition=Q(state__in=ACTIVE, finished_at=None)
                | (~Q(state__in=ACTIVE) & Q(finished_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"export {self.pk} ({self.format})"

    @property
    def folder(self) -> Path:
        """Everything made for this export: what is unfinished, then the file."""
        return Path(settings.EXPORTS_DIR) / str(self.pk)

    @property
    def file_name(self) -> str:
        return f"{self.project.slug}-{self.format}-{self.pk}.zip"

    @property
    def file(self) -> Path:
        return self.folder / self.file_name

    @property
    def is_part(self) -> bool:
        """Whether only answers of some time were asked for."""
        return self.accepted_after is not None or self.accepted_until < self.created_at

    @property
    def rankings_done(self) -> str:
        return f"{self.rankings:,} of {self.rankings_wanted:,}"

    @property
    def is_over(self) -> bool:
        return self.state not in ACTIVE
