"""Image files, each stored once under the hash of its bytes."""

from __future__ import annotations

from django.contrib.postgres.functions import RandomUUID
from django.db import models


class Image(models.Model):
    """One decoded and checked image file. Hash and bytes are of the stored file, without metadata."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    # Identifies it on pages: a hash would let those who have the file find out where it comes from.
    token = models.UUIDField(unique=True, db_default=RandomUUID())
    file = models.FileField(max_length=120)  # its name: services.images.stored_name
    format = models.CharField(max_length=5)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    bytes = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="an_image_format_is_png_jpeg_or_webp",
                condition=models.Q(format__in=["png", "jpeg", "webp"]),
            ),
        ]

    def __str__(self) -> str:
        return self.sha256[:12]
