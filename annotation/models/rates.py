"""How many requests came lately, counted where all processes see it."""

from __future__ import annotations

from django.db import models


class RequestCount(models.Model):
    """The requests of one client in the minute of its latest one."""

    client = models.CharField(max_length=64, unique=True)
    minute = models.DateTimeField(db_index=True)  # its beginning
    count = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.client}: {self.count}"
