"""Image files out of the storage."""

from __future__ import annotations

from typing import IO

from django.core.files.storage import default_storage

from annotation.selectors.exports import ExportedImage
from annotation.services.exports.format import ExportFailed


def open_image(image: ExportedImage) -> IO[bytes]:
    """The file's bytes. Raises: ExportFailed when it is gone from the storage."""
    assert image.file
    try:
        file: IO[bytes] = default_storage.open(image.file)
        return file
    except OSError as error:
        raise ExportFailed(
            f"{image.source}: {image.file} cannot be read from the storage ({error})"
        ) from None
