"""Image files, for people who may see them."""

from __future__ import annotations

from uuid import UUID

from django.http import FileResponse, Http404, HttpResponseBase, HttpResponseNotModified
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest
from annotation.selectors.images import visible_image

FOREVER = 60 * 60 * 24 * 365  # the bytes behind a token never change


@require_safe
def image(request: MemberRequest, token: UUID) -> HttpResponseBase:
    """The file, streamed from wherever images are stored; 404 for everybody who may not see it.

    No header tells where it comes from: neither its name, nor its hash, nor when it was stored.
    """
    if not request.user.is_authenticated:
        raise Http404
    found = visible_image(request.user, token)
    if found is None:
        raise Http404
    etag = f'"{token}"'
    response: HttpResponseBase
    if etag in request.headers.get("If-None-Match", ""):
        response = HttpResponseNotModified()
    else:
        name = f"image.{found.format}"
        response = FileResponse(found.file.open(), filename=name, content_type=f"image/{found.format}")
        response.headers["Content-Length"] = str(found.bytes)
    response.headers["Cache-Control"] = f"private, max-age={FOREVER}, immutable"
    response.headers["ETag"] = etag
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
