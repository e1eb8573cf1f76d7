"""Feedback on training, between the guideline and the first task."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from annotation.access import WorkerRequest, worker_required
from annotation.models import Assignment, Project
from annotation.selectors.checks.onboarding import feedback_of, lesson_of

FEEDBACK = "annotation/checks/feedback.html"


@require_safe
@worker_required
def feedback(request: WorkerRequest, project: Project, token: UUID) -> HttpResponse:
    """Show the user's answer to a training item beside the reference answer."""
    trained = Assignment.objects.filter(
        project=project,
        annotator=request.user,
        kind=Assignment.Kind.TRAINING,
        submitted_at__isnull=False,
    )
    assignment = get_object_or_404(trained.select_related("prompt"), token=token)
    context = {
        "project": project,
        "assignment": assignment,
        "lesson": lesson_of(assignment),
        "feedback": feedback_of(assignment),
    }
    return render(request, f"{FEEDBACK}#feedback" if request.htmx else FEEDBACK, context)
