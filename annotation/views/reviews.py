"""The inspector's queue: accepting or sending back submitted answers."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotation.access import Do, MemberRequest, projects_where, required_anywhere
from annotation.forms.references import SendBackForm
from annotation.models import Assignment, Pause
from annotation.models.assignments import WORK
from annotation.selectors.projects.images import strips
from annotation.selectors.reviews import answer_of
from annotation.services.judgements.reviews import NotUnderReview, OwnAnswer, accept, send_back

QUEUE = "annotation/judgements/review_queue.html"
ANSWER = "annotation/judgements/review.html"
SHOWN = 50


@require_safe
@never_cache
@required_anywhere(Do.INSPECT)
def queue(request: MemberRequest) -> HttpResponse:
    """List submitted answers of the inspector's projects, oldest first."""
    waiting = _waiting(request)
    projects = (
        projects_where(request.user, Do.INSPECT)
        .annotate(waiting=Count("assignments", filter=Q(assignments__in=waiting)))
        .order_by("name")
    )
    answers = waiting.select_related("project", "prompt", "annotator")[:SHOWN]
    paused = Pause.objects.in_force().filter(project__in=projects).select_related("project", "user")
    context = {
        "projects": projects,
        "answers": answers,
        "strips": strips([answer.prompt_id for answer in answers]),
        "shown": SHOWN,
        "paused": paused,
    }
    return render(request, QUEUE, context)


@require_safe
@never_cache
@required_anywhere(Do.INSPECT)
def answer(request: MemberRequest, pk: int) -> HttpResponse:
    """Show one answer: label, ratings, images in their slots."""
    assignment = _inspectable(request, pk)
    return render(request, ANSWER, _context(request, assignment, SendBackForm()))


@require_POST
@required_anywhere(Do.INSPECT)
def accept_answer(request: MemberRequest, pk: int) -> HttpResponse:
    assignment = _inspectable(request, pk)
    if _is_changed(request, assignment):
        return _show_changed(request, assignment, SendBackForm())
    try:
        accept(assignment=assignment, inspector=request.user, now=timezone.now())
    except (NotUnderReview, OwnAnswer):
        return render(request, ANSWER, _context(request, assignment, SendBackForm(), lost=True), status=409)
    messages.success(request, "Accepted.")
    return _onward(request)


@require_POST
@required_anywhere(Do.INSPECT)
def send_answer_back(request: MemberRequest, pk: int) -> HttpResponse:
    assignment = _inspectable(request, pk)
    form = SendBackForm(request.POST)
    if not form.is_valid():
        return render(request, ANSWER, _context(request, assignment, form), status=422)
    if _is_changed(request, assignment):
        return _show_changed(request, assignment, form)
    try:
        opened = send_back(
            assignment=assignment,
            inspector=request.user,
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
        )
    except (NotUnderReview, OwnAnswer):
        return render(request, ANSWER, _context(request, assignment, form, lost=True), status=409)
    if opened:
        messages.success(request, "Sent back: somebody else will be asked.")
    else:
        messages.success(request, "Sent back. Nobody else is asked: image files are missing.")
    return _onward(request)


def _waiting(request: MemberRequest) -> QuerySet[Assignment]:
    """Return the submitted answers that the user may review: of their projects, except their own."""
    projects = projects_where(request.user, Do.INSPECT)
    submitted = Assignment.objects.filter(state=Assignment.State.SUBMITTED, project__in=projects)
    return submitted.exclude(annotator=request.user).order_by("submitted_at", "pk")


def _inspectable(request: MemberRequest, pk: int) -> Assignment:
    """Return an answered assignment of the inspector's projects. Raises: Http404."""
    projects = projects_where(request.user, Do.INSPECT)
    answers = Assignment.objects.filter(project__in=projects, submitted_at__isnull=False)
    return get_object_or_404(answers.select_related("project", "prompt", "annotator"), pk=pk)


def _is_changed(request: MemberRequest, assignment: Assignment) -> bool:
    """Return whether the annotator revised the answer since the page was loaded."""
    return request.POST.get("version", "") != assignment.version


def _show_changed(request: MemberRequest, assignment: Assignment, form: SendBackForm) -> HttpResponse:
    return render(request, ANSWER, {**_context(request, assignment, form), "changed": True}, status=409)


def _context(
    request: MemberRequest, assignment: Assignment, form: SendBackForm, *, lost: bool = False
) -> dict[str, object]:
    if lost:
        assignment.refresh_from_db(fields=["state"])
    return {
        "assignment": assignment,
        "answer": answer_of(assignment),
        "form": form,
        "lost": lost,
        "left": _waiting(request).count(),
        "is_open": assignment.state == Assignment.State.SUBMITTED and assignment.annotator != request.user,
        "can_send_back": assignment.kind in WORK
        and assignment.state in (Assignment.State.SUBMITTED, Assignment.State.ACCEPTED)
        and assignment.annotator != request.user,
    }


def _onward(request: MemberRequest) -> HttpResponse:
    following = _waiting(request).first()
    return redirect("inspection", following.pk) if following else redirect("inspection-queue")
