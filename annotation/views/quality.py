"""How well the people of a project work, for its inspectors and admins."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotation.access import INSPECTING, MemberRequest, role_required
from annotation.models import Project
from annotation.selectors.checks import ENOUGH
from annotation.selectors.quality import annotators_quality


@require_safe
@role_required(*INSPECTING)
def people(request: MemberRequest, project: Project) -> HttpResponse:
    """Each annotator: answers, agreement with gold and with themselves."""
    context = {"project": project, "people": annotators_quality(project), "enough": ENOUGH}
    return render(request, "annotation/quality/people.html", context)
