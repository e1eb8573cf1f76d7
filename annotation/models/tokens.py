"""What programs sign in with."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from annotation.models.people import User


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def valid(self, *, now: datetime) -> ApiTokenQuerySet:
        """Not expired, and of somebody who may sign in."""
        lasting = Q(expires_at=None) | Q(expires_at__gt=now)
        return self.filter(lasting, user__is_active=True)


class ApiToken(models.Model):
    """Lets a program act as its owner. Only a digest is kept: a copy of the database opens nothing."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)  # sha256, hex
    hint = models.CharField(max_length=12)  # how the secret begins, for its owner to tell tokens apart
    reads_only = models.BooleanField(default=False)  # what it asks for may change nothing
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)  # null: never
    last_used_at = models.DateTimeField(null=True)  # to the hour

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"
