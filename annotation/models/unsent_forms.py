"""Forms that arrived after the session had ended."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from annotation.models.people import User


class UnsentForm(models.Model):
    """What a user filled in and sent when they were signed out already, until they have signed in again.

    `fields` are name and value of each, without secrets; `files` are name and file name, without content.
    """

    token = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="unsent_forms")
    address = models.TextField()  # where it is sent: path and query
    fields = models.JSONField()
    files = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"form for {self.address}"
