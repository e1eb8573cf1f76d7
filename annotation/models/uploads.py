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
    """A file with prompts, images or rankings, kept until a worker has imported it, whole or not at all."""

    most_attempts = 3

    project = models.ForeignKey(Project, models.CASCADE, related_name="uploads")
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="uploads")
    name = models.CharField(max_length=255)
    bytes = models.PositiveBigIntegerField()
    done = models.PositiveIntegerField(default=0)  # prompts, images or rankings read so far
    # Of a file of rankings: how it is read, as services.imports.RankingOptions. Null: prompts or images.
    ranking_options = models.JSONField(null=True)
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
    def kind(self) -> str:
        """Either "material", which is prompts or images, or "rankings"."""
        return "material" if self.ranking_options is None else "rankings"

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
