"""Image files, for people who may see them."""

from __future__ import annotations

from django.http import FileResponse, Http404, HttpResponseBase, HttpResponseNotModified
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest
from annotation.selectors.images import visible_image

FOREVER = 60 * 60 * 24 * 365  # an address holds the hash of its bytes, so what it answers never changes


@require_safe
def image(request: MemberRequest, sha256: str) -> HttpResponseBase:
    """The file, streamed from wherever images are stored; 404 for everybody who may not see it."""
    if not request.user.is_authenticated:
        raise Http404
    found = visible_image(request.user, sha256)
    if found is None:
        raise Http404
    etag = f'"{sha256}"'
    response: HttpResponseBase
    if etag in request.headers.get("If-None-Match", ""):
        response = HttpResponseNotModified()
    else:
        response = FileResponse(found.file.open(), content_type=f"image/{found.format}")
        response.headers["Content-Length"] = str(found.bytes)
    response.headers["Cache-Control"] = f"private, max-age={FOREVER}, immutable"
    response.headers["ETag"] = etag
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
