"""What a scheduled look at stored files knows: how far it is, and which are not as they were stored."""

from __future__ import annotations

from django.db import models


class FileRound(models.Model):
    """How far the look at one kind of files is. It goes on from `position`, whoever continues it."""

    kind = models.CharField(max_length=40, primary_key=True)  # as registered
    position = models.CharField(max_length=100, blank=True)  # of the last file looked at; "": none yet
    looked_at = models.PositiveIntegerField(default=0)  # files, in this round
    begun_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)  # of the last whole round

    def __str__(self) -> str:
        return f"{self.kind}, {self.looked_at:,} files"


class FileDigest(models.Model):
    """The sha256 that a file had when it was first looked at, of files whose rows have none."""

    name = models.CharField(max_length=500, primary_key=True)  # var/...
    sha256 = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.name


class FileFault(models.Model):
    """A file that is gone, changed or unreadable; removed once it is as it was."""

    name = models.CharField(max_length=500, primary_key=True)  # images/... of the storage, or var/...
    kind = models.CharField(max_length=40)
    fault = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)  # of what was stored
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name}: {self.fault}"
