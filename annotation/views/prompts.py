"""A project's prompts with their images, for admins: generators and scores shown."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import Count, Prefetch, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest, admin_required
from annotation.models import Assignment, Project
from annotation.selectors.images import judged_images

PER_PAGE = 20


@require_safe
@admin_required
def prompts(request: MemberRequest, project: Project) -> HttpResponse:
    """Prompts, newest first, searched by their words."""
    words = request.GET.get("q", "").replace("\0", "").strip()[:200]
    found = project.prompts.filter(text__icontains=words) if words else project.prompts.all()
    finished = Q(assignments__in=Assignment.objects.finished())
    accepted = Count("assignments", filter=finished, distinct=True)
    images = Prefetch("generations", judged_images())
    rows = found.annotate(accepted=accepted).prefetch_related(images).order_by("-pk")
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    context = {"project": project, "tab": "prompts", "page": page, "words": words}
    return render(request, "annotation/prompts/list.html", context)


@require_safe
@admin_required
def prompt(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """One prompt: its images with generator and score, and whose opinions are asked."""
    found = get_object_or_404(project.prompts, pk=pk)
    images = judged_images().filter(prompt=found)
    opinions = found.assignments.select_related("annotator", "skip")
    context = {"project": project, "tab": "prompts", "prompt": found, "images": images, "opinions": opinions}
    return render(request, "annotation/prompts/prompt.html", context)
