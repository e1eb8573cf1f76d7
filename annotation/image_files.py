"""Image files as HTTP responses, for pages and the API."""

from __future__ import annotations

from uuid import UUID

from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase, HttpResponseNotModified

from annotation.models import User
from annotation.selectors.projects.images import visible_image

FOREVER = 60 * 60 * 24 * 365  # the bytes behind a token never change


def image_response(request: HttpRequest, *, user: User, token: UUID) -> HttpResponseBase:
    """Stream the file from the storage. Raises: Http404 when the user may not see it.

    No header reveals the file's name, its hash or when it was stored.
    """
    image = visible_image(user, token)
    if image is None:
        raise Http404
    etag = f'"{token}"'
    response: HttpResponseBase
    if etag in request.headers.get("If-None-Match", ""):
        response = HttpResponseNotModified()
    else:
        name = f"image.{image.format}"
        response = FileResponse(image.file.open(), filename=name, content_type=f"image/{image.format}")
        response.headers["Content-Length"] = str(image.bytes)
    response.headers["Cache-Control"] = f"private, max-age={FOREVER}, immutable"
    response.headers["ETag"] = etag
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
