"""Image files, for people who may see them."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponseBase
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest
from annotation.image_files import image_response


@require_safe
def image(request: MemberRequest, token: UUID) -> HttpResponseBase:
    """The file; 404 for everybody who may not see it, also who is not signed in."""
    if not request.user.is_authenticated:
        raise Http404
    return image_response(request, user=request.user, token=token)
