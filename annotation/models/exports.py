"""Export jobs: who requested what, the progress, and the resulting file."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models.jobs import Job
from annotation.models.people import User
from annotation.models.projects import Project


class Export(Job):
    """A requested export.

    It contains the answers accepted at the time of the request, however late it is written.
    """

    most_attempts = 5

    project = models.ForeignKey(Project, models.CASCADE, related_name="exports")
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="exports")
    format = models.CharField(max_length=20)
    with_images = models.BooleanField(default=True)
    accepted_after = models.DateTimeField(null=True)  # null: from the first answer on
    accepted_until = models.DateTimeField()
    rankings = models.PositiveIntegerField(default=0)  # written so far
    rankings_wanted = models.PositiveIntegerField(default=0)  # 0: not counted yet
    pairs = models.PositiveBigIntegerField(default=0)  # in different slots
    ties = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()

    class Meta(Job.Meta):
        constraints = [
            *Job.Meta.constraints,
            models.CheckConstraint(
                name="only_a_finished_export_has_a_file",
                condition=Q(state="finished", bytes__isnull=False) & ~Q(sha256="")
                | (~Q(state="finished") & Q(bytes=None, sha256="")),
            ),
        ]

    def __str__(self) -> str:
        return f"export {self.pk} ({self.format})"

    @property
    def folder(self) -> Path:
        """The folder of this export: unfinished files, then the archive."""
        return Path(settings.EXPORTS_DIR) / str(self.pk)

    @property
    def file_name(self) -> str:
        return f"{self.project.slug}-{self.format}-{self.pk}.zip"

    @property
    def file(self) -> Path:
        return self.folder / self.file_name

    @property
    def is_part(self) -> bool:
        """Whether only answers of some period were requested."""
        return self.accepted_after is not None or self.accepted_until < self.created_at

    @property
    def rankings_done(self) -> str:
        return f"{self.rankings:,} of {self.rankings_wanted:,}"
