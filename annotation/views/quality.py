"""Quality of annotators' work, for inspectors and admins, who may pause and qualify them."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from annotation.access import Do, MemberRequest, inspector_required, members_who
from annotation.forms.quality import DecisionForm, ReasonForm
from annotation.models import Pause, Project, User
from annotation.selectors.checks.checks import ENOUGH
from annotation.selectors.checks.quality import annotators_quality
from annotation.services.checks.onboarding import decide_by_hand
from annotation.services.checks.pauses import AlreadyPaused, NotPaused, lift, pause

PEOPLE = "annotation/checks/people.html"


@require_safe
@inspector_required
def people(request: MemberRequest, project: Project) -> HttpResponse:
    """List annotators: answers, agreement with gold and with themselves, pace, and status."""
    return render(request, PEOPLE, _context(project))


@require_POST
@inspector_required
def pause_person(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Pause an annotator; the reason is shown to them."""
    annotator = _annotator(project, pk)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return render(request, PEOPLE, {**_context(project), "refused": annotator}, status=422)
    reason = form.cleaned_data["reason"]
    try:
        pause(annotator=annotator, project=project, reason=reason, by=request.user, now=timezone.now())
    except AlreadyPaused:
        return render(request, PEOPLE, {**_context(project), "lost": annotator}, status=409)
    messages.success(request, f"{annotator} is paused and told why.")
    return redirect("quality", project.slug)


@require_POST
@inspector_required
def lift_pause(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Lift an annotator's pause."""
    annotator = _annotator(project, pk)
    newest = Pause.objects.filter(project=project, user=annotator).first()
    try:
        if newest is None:
            raise NotPaused
        lift(pause=newest, by=request.user, now=timezone.now())
    except NotPaused:
        return render(request, PEOPLE, {**_context(project), "lost": annotator}, status=409)
    messages.success(request, f"{annotator} gets work again.")
    return redirect("quality", project.slug)


@require_POST
@inspector_required
def decide(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Qualify or refuse an annotator by hand."""
    annotator = _annotator(project, pk)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return render(request, PEOPLE, {**_context(project), "refused": annotator}, status=422)
    decided = decide_by_hand(
        annotator=annotator, project=project, by=request.user, now=timezone.now(), **form.cleaned_data
    )
    messages.success(request, f"{annotator} is {decided.outcome}.")
    return redirect("quality", project.slug)


def _annotator(project: Project, pk: int) -> User:
    """Return the annotator of the project. Raises: Http404 for other users."""
    members = members_who(project, Do.ANNOTATE)
    return get_object_or_404(members.select_related("user"), user=pk).user


def _context(project: Project) -> dict[str, object]:
    return {
        "project": project,
        "tab": "quality",
        "people": annotators_quality(project),
        "enough": ENOUGH,
    }
