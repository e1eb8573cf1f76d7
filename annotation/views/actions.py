"""Who did what in a project, for its admins."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest, admin_required
from annotation.models import Project
from annotation.registry import ACTIONS, action_choices

PER_PAGE = 50


@require_safe
@admin_required
def log(request: MemberRequest, project: Project) -> HttpResponse:
    """The project's actions, newest first, of one kind or one person where asked."""
    found = project.actions.select_related("actor")
    kind = request.GET.get("kind", "")
    if kind in ACTIONS:
        found = found.filter(kind=kind)
    who = request.GET.get("who", "").replace("\0", "").strip()[:150]
    if who:
        found = found.filter(actor__username=who)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {"project": project, "tab": "log", "page": page, "kinds": action_choices()}
    return render(request, "annotation/projects/log.html", {**context, "kind": kind, "who": who})
