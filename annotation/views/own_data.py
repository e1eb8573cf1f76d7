"""What is stored about the person who asks."""

from __future__ import annotations

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest, member_required
from annotation.selectors.own_data import own_data


@require_safe
@never_cache
@member_required
def download(request: MemberRequest) -> StreamingHttpResponse:
    """Send it as one JSON file, written as it is read."""
    response = StreamingHttpResponse(own_data(request.user), content_type="application/json")
    name = f"{request.user.username}.json"
    response.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response
