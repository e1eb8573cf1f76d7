"""The annotator's workspace: one task at a time, with its drafts and its answer."""

from __future__ import annotations

import random
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from annotation.access import MemberRequest, WorkerRequest, member_required, standing_in, worker_required
from annotation.forms.judgements import JudgementForm, SkipForm
from annotation.models import Assignment, Project, Qualification, Skip
from annotation.models.assignments import WORK as KINDS_OF_WORK
from annotation.selectors.assignments import own_assignment
from annotation.selectors.checks.onboarding import lesson_of
from annotation.services.assignments.assignments import (
    LeaseLost,
    claim_ahead,
    claim_next,
    claim_with_ahead,
    save_draft,
)
from annotation.services.assignments.skips import NotSkippable, SkipsUsedUp, skip_task
from annotation.services.checks.onboarding import NotTested, claim_lesson, decide_qualification
from annotation.services.judgements.judgements import Contradiction, InvalidJudgement, submit_judgement
from annotation.services.projects.projects import acknowledge

WORK = "annotation/assignments/work.html"


@require_safe
@never_cache
@worker_required
def work(request: WorkerRequest, project: Project) -> HttpResponse:
    """Show the current task with its draft, or the next; before the first, guideline, training and test."""
    return _show_next(request, project)


@require_safe
@never_cache
@worker_required
def ahead(request: WorkerRequest, project: Project) -> HttpResponse:
    """Return the task after the current one, for the page to prefetch; 204 if there is none."""
    if not request.standing.gets_tasks:
        return HttpResponse(status=204)
    now = timezone.now()
    assignment = claim_ahead(annotator=request.user, project=project, now=now, generator=random.Random())
    if assignment is None:
        return HttpResponse(status=204)
    return _show_task(request, assignment, {"project": project, "is_ahead": True})


def _show_next(request: WorkerRequest, project: Project) -> HttpResponse:
    """Show the guideline to read, a lesson, why there is no work, or a task."""
    standing = request.standing
    context: dict[str, object] = {"project": project, "guideline": standing.guideline}
    if standing.is_reading_due:
        return show_workspace(request, "unread", context)
    if not standing.annotates:
        return _show_chosen(request, project, context)
    if standing.paused or standing.is_refused:
        return _show_barred(request, project, context)
    if not standing.is_qualified:
        lesson = _show_lesson(request, project, context)
        if lesson is not None:
            return lesson
    if ready := request.POST.get("ready"):
        return _show_ready(request, project, context, version=ready)
    now = timezone.now()
    assignment = claim_next(annotator=request.user, project=project, now=now, generator=random.Random())
    if assignment is None:
        return show_workspace(request, "finished", context)
    return _show_task(request, assignment, context)


def _show_ready(
    request: WorkerRequest, project: Project, context: dict[str, object], *, version: str
) -> HttpResponse:
    """Send the claim on the next task, whose page the script holds in this version, and the task behind it.

    A task that has changed, or has a draft, is sent whole instead.
    """
    now = timezone.now()
    assignment, behind = claim_with_ahead(
        annotator=request.user, project=project, now=now, generator=random.Random()
    )
    if assignment is None:
        return show_workspace(request, "finished", context)
    if assignment.draft is not None or version != assignment.ready_version:
        return _show_task(request, assignment, context)
    if behind is not None:
        context |= {"is_ahead": True, **_task_as_left(behind)}
    receipt = render(request, f"{WORK}#receipt", context)
    receipt.headers["Task-Claim"] = assignment.claim
    return receipt


def _show_chosen(request: WorkerRequest, project: Project, context: dict[str, object]) -> HttpResponse:
    """Show the prompt that a researcher claimed as a reference, or redirect to the page of references."""
    assignments = Assignment.objects.held_by(request.user).filter(project=project)
    assignment = assignments.select_related("prompt").with_images().first()
    if assignment is not None:
        return _show_task(request, assignment, context)
    references = reverse("references", args=[project.slug])
    return HttpResponseClientRedirect(references) if request.htmx else redirect(references)


def _show_barred(request: WorkerRequest, project: Project, context: dict[str, object]) -> HttpResponse:
    """Show why the user gets no tasks: a pause, or a failed test."""
    qualification = Qualification.objects.filter(project=project, user=request.user).first()
    context |= {"standing": request.standing, "qualification": qualification}
    return show_workspace(request, "barred", context)


def _show_lesson(request: WorkerRequest, project: Project, context: dict[str, object]) -> HttpResponse | None:
    """Show the next item of the training or the test; after the last, return None if the user passed."""
    now = timezone.now()
    item = claim_lesson(annotator=request.user, project=project, now=now, generator=random.Random())
    if item is not None:
        return _show_task(request, item, context)
    try:
        qualification = decide_qualification(annotator=request.user, project=project, now=now)
    except NotTested:
        return show_workspace(request, "untested", context)
    if qualification.outcome == Qualification.Outcome.REFUSED:
        return _show_barred(request, project, context)
    messages.success(request, "You passed the test. Welcome!")
    return None


def _show_task(request: WorkerRequest, assignment: Assignment, context: dict[str, object]) -> HttpResponse:
    """Show the task with its draft."""
    assignment.project = request.standing.project
    return show_workspace(request, "task", {**context, **_task_as_left(assignment)})


def show_workspace(
    request: MemberRequest, state: str, context: dict[str, object], *, status: int = 200
) -> HttpResponse:
    """Render the workspace in this state; a script gets only the state's partial."""
    template = f"{WORK}#{state}" if request.htmx else WORK
    return render(request, template, {**context, "state": state}, status=status)


@require_POST
@member_required
def submit(request: WorkerRequest, slug: str, token: UUID) -> HttpResponse:
    """Store the answer and show the next task; a refused answer is shown again with its errors."""
    assignment = _claimed_assignment(request, slug, token)
    if assignment is None:
        return _show_lost(request, slug, status=404)
    form = JudgementForm(request.POST, project=assignment.project, order=assignment.order)
    if not form.is_valid():
        return _show_again(request, assignment, form, refused=True)
    try:
        submit_judgement(
            assignment=assignment,
            annotator=request.user,
            judgement=form.judgement(),
            now=timezone.now(),
            generator=random.Random(),
            confirmed=form.is_confirmed,
        )
    except InvalidJudgement as error:
        form.refuse(error)
        warns = assignment.project.consistency == Project.Consistency.WARN
        can_confirm = warns and isinstance(error, Contradiction)
        return _show_again(request, assignment, form, refused=True, can_confirm=can_confirm)
    except LeaseLost:
        return _show_lost(request, slug, status=409, closed=assignment)
    if assignment.kind == Assignment.Kind.TRAINING:
        return redirect("feedback", slug, assignment.token)
    messages.success(request, "Answer stored.", extra_tags="stored")
    if not request.htmx:
        return redirect("work", slug)
    standing = standing_in(slug, request.user)
    if standing is None:
        raise Http404
    request.standing = standing
    return _show_next(request, standing.project)


@require_POST
@member_required
def draft(request: MemberRequest, slug: str, token: UUID) -> HttpResponse:
    """Save the unfinished answer without validating it."""
    assignment = _claimed_assignment(request, slug, token)
    if assignment is None:
        return _show_lost(request, slug, status=404)
    form = JudgementForm(request.POST, project=assignment.project, order=assignment.order)
    try:
        save_draft(assignment=assignment, annotator=request.user, answer=form.draft(), now=timezone.now())
    except LeaseLost:
        return _show_lost(request, slug, status=409, closed=assignment)
    return HttpResponse(status=204, headers={"Draft-Version": assignment.draft_version})


@require_POST
@member_required
def skip(request: MemberRequest, slug: str, token: UUID) -> HttpResponse:
    """Skip the task and show the next one; on a refusal, show the task again with its draft."""
    assignment = _claimed_assignment(request, slug, token)
    if assignment is None:
        return _show_lost(request, slug, status=404)
    form = SkipForm(request.POST)
    if not form.is_valid():
        return _show_unskipped(request, assignment, "Not skipped: say why.")
    try:
        skip_task(assignment=assignment, annotator=request.user, now=timezone.now(), **form.cleaned_data)
    except SkipsUsedUp as error:
        return _show_unskipped(request, assignment, str(error))
    except NotSkippable:
        return _show_unskipped(request, assignment, "This task cannot be skipped.")
    except LeaseLost:
        return _show_lost(request, slug, status=409, closed=assignment)
    messages.success(request, "Skipped: somebody else is asked.")
    return redirect("work", slug)


@require_POST
@worker_required
def acknowledge_guideline(request: WorkerRequest, project: Project, version: int) -> HttpResponse:
    """Record that this version was read, and start work."""
    guideline = get_object_or_404(project.guidelines, version=version)
    acknowledge(guideline=guideline, user=request.user)
    return redirect("work", project.slug)


def _claimed_assignment(request: MemberRequest, slug: str, token: UUID) -> Assignment | None:
    """Return the assignment of the posted form if the user holds its claim, or None."""
    assignment = own_assignment(slug, request.user, token)
    if assignment is None or not assignment.claim or assignment.claim != request.POST.get("claim"):
        return None
    return assignment


def _task_as_left(assignment: Assignment) -> dict[str, object]:
    """Return the context of the task's partial, filled in as far as its annotator came."""
    return task_context(assignment, _form_as_left(assignment))


def _form_as_left(assignment: Assignment) -> JudgementForm:
    return JudgementForm.from_draft(
        assignment.draft or {}, project=assignment.project, order=assignment.order
    )


def task_context(assignment: Assignment, form: JudgementForm, *, refused: bool = False) -> dict[str, object]:
    """Return the context of the task's partial. Args: refused: show errors, starting at the first."""
    in_hand = assignment.state == Assignment.State.LEASED and assignment.kind in KINDS_OF_WORK
    return {
        "assignment": assignment,
        "lesson": lesson_of(assignment),
        "looks_ahead": in_hand,
        "form": form,
        "images": form.images(assignment.images, refused=refused),
        "refusals": form.refusals() if refused else [],
        "skip_reasons": Skip.Reason.choices if in_hand and assignment.project.skips_per_hundred else [],
        "step": form.refused_step() if refused else form.current_step(),
    }


def _show_again(
    request: MemberRequest,
    assignment: Assignment,
    form: JudgementForm,
    *,
    refused: bool = False,
    **context: object,
) -> HttpResponse:
    """Show the same task with its errors."""
    standing = standing_in(assignment.project.slug, request.user)
    context |= {"project": assignment.project, "guideline": standing and standing.guideline}
    context |= task_context(assignment, form, refused=refused)
    return show_workspace(request, "task", context, status=422)


def _show_unskipped(request: MemberRequest, assignment: Assignment, why: str) -> HttpResponse:
    return _show_again(request, assignment, _form_as_left(assignment), unskipped=why)


def _show_lost(
    request: MemberRequest, slug: str, *, status: int, closed: Assignment | None = None
) -> HttpResponse:
    """404: the annotator does not hold it (any more). 409: it was closed with another answer, or skipped."""
    standing = standing_in(slug, request.user)
    if standing is None:
        raise Http404
    is_skipped = closed is not None and Skip.objects.filter(assignment=closed).exists()
    opened_by = request.POST.get("by", "")  # another user may have signed in since, in another tab
    context = {
        "project": standing.project,
        "is_answered": status == 409,
        "is_skipped": is_skipped,
        "opened_by": opened_by if opened_by != request.user.username else "",
    }
    return show_workspace(request, "lost", context, status=status)
