"""Uploaded files that are imported: who sent which, how far a worker is, and what came of it."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models.jobs import Job
from annotation.models.people import User
from annotation.models.projects import Project
from annotation.models.stored_files import StoredFile
from annotation.places import name_below_var


class Upload(Job):
    """A file with prompts or images, kept until a worker has imported it, whole or not at all."""

    most_attempts = 3

    project = models.ForeignKey(Project, models.CASCADE, related_name="uploads")
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="uploads")
    name = models.CharField(max_length=255)
    bytes = models.PositiveBigIntegerField()
    done = models.PositiveIntegerField(default=0)  # prompts or images read so far
    summary = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta(Job.Meta):
        constraints = [
            *Job.Meta.constraints,
            models.CheckConstraint(
                name="only_a_finished_upload_has_a_summary",
                condition=(Q(state="finished") & ~Q(summary="")) | (~Q(state="finished") & Q(summary="")),
            ),
        ]

    def __str__(self) -> str:
        return f"upload {self.pk} ({self.name})"

    @property
    def folder(self) -> Path:
        return Path(settings.UPLOADS_DIR) / str(self.pk)

    @property
    def file(self) -> Path:
        return self.folder / "file"

    @property
    def is_kept(self) -> bool:
        """Whether its file is still there, to be tried again."""
        return self.file.exists() or StoredFile.objects.filter(name=name_below_var(self.file)).exists()
