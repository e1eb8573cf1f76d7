"""Files that a storage has for every host, and what a scheduled look at stored files knows of them."""

from __future__ import annotations

from django.db import models

OBJECTS = "stored/"  # what the names of files begin with in the storage, where those of images do not


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


class StoredFileQuerySet(models.QuerySet["StoredFile"]):
    def at(self, name: str) -> StoredFileQuerySet:
        """Filter to the file of this name, or to those of the folder of this name."""
        return self.filter(models.Q(name=name) | models.Q(name__startswith=f"{name}/"))


class StoredFile(models.Model):
    """A file that lies below LAUREL_VAR on one host, or did, and that the storage has for every host.

    The rows of a folder change in one transaction, once the storage has all of their objects.
    """

    name = models.CharField(max_length=500, primary_key=True)  # its path below LAUREL_VAR
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveBigIntegerField()

    objects = StoredFileQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def object(self) -> str:
        """Its name in the storage; other content has another."""
        return f"{OBJECTS}{self.name}/{self.sha256}"


class LooseObject(models.Model):
    """An object in the storage that no row may name: it is being stored, or was replaced."""

    name = models.CharField(max_length=580, primary_key=True)
    since = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
