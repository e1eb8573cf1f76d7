"""Image files as HTTP responses, for pages and the API."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import BinaryIO
from uuid import UUID

from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotModified,
)

from annotation.models import Image, User
from annotation.selectors.projects.images import visible_image
from annotation.thumbnails import ImageLost, StorageSilent, is_small, open_image, open_thumbnail

LASTING = {"Cache-Control": "private, max-age=31536000, immutable"}  # a year; of what never changes

logger = logging.getLogger(__name__)


def image_response(request: HttpRequest, *, user: User, token: UUID) -> HttpResponseBase:
    """Stream the file from the storage. Raises: Http404 when the user may not see it, or it is lost.

    No header reveals the file's name, its hash or when it was stored.
    """
    image = _find(user, token)
    return _lasting(request, f"{token}", image.format, lambda: open_image(image))


def thumbnail_response(request: HttpRequest, *, user: User, token: UUID) -> HttpResponseBase:
    """Stream the small version, or the file itself where that is small. Raises: as `image_response`."""
    image = _find(user, token)
    if is_small(image):
        return _lasting(request, f"{token}", image.format, lambda: open_image(image))
    return _lasting(request, f"{token}-small", "webp", lambda: open_thumbnail(image))


def _find(user: User, token: UUID) -> Image:
    image = visible_image(user, token)
    if image is None:
        raise Http404
    return image


def _lasting(
    request: HttpRequest, tag: str, format: str, open_file: Callable[[], BinaryIO]
) -> HttpResponseBase:
    """Return a response that browsers keep for good, or 503. Args: tag: identifies the bytes."""
    etag = f'"{tag}"'
    response: HttpResponseBase
    if etag in request.headers.get("If-None-Match", ""):
        response = HttpResponseNotModified()
    else:
        try:
            file = open_file()
        except ImageLost as error:
            logger.warning("%s", error)
            raise Http404 from error
        except StorageSilent as error:
            logger.warning("the storage does not answer: %s", error)
            return HttpResponse(status=503, headers={"Retry-After": "10", "Cache-Control": "no-store"})
        response = FileResponse(file, filename=f"image.{format}", content_type=f"image/{format}")
    response.headers["Cache-Control"] = LASTING["Cache-Control"]  # the bytes behind a token never change
    response.headers["ETag"] = etag
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
