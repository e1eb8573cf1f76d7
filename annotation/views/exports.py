"""Downloads of a project's comparisons."""

from __future__ import annotations

from django.http import StreamingHttpResponse
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest, admin_required
from annotation.models import Project
from annotation.selectors.exports import as_json_list, export_imagereward


@require_safe
@admin_required
def preferences(request: MemberRequest, project: Project) -> StreamingHttpResponse:
    """Every accepted ranking in ImageReward's JSON, streamed."""
    items = as_json_list(export_imagereward(project))
    name = f"{project.slug}-imagereward.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(items, content_type="application/json", headers=headers)
