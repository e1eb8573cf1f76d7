"""The annotator's workspace: one task at a time, its drafts, its answer."""

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
from annotation.services.assignments.assignments import LeaseLost, claim_ahead, claim_next, save_draft
from annotation.services.assignments.skips import NotSkippable, SkipsUsedUp, skip_task
from annotation.services.checks.onboarding import NotTested, claim_lesson, decide_qualification
from annotation.services.judgements.judgements import Contradiction, InvalidJudgement, submit_judgement
from annotation.services.projects.projects import acknowledge

WORK = "annotation/assignments/work.html"


@require_safe
@never_cache
@worker_required
def work(request: WorkerRequest, project: Project) -> HttpResponse:
    """The next task, or the one in hand as it was left; before the first, guideline, training and test."""
    return _go_on(request, project)


@require_safe
@never_cache
@worker_required
def ahead(request: WorkerRequest, project: Project) -> HttpResponse:
    """The task after the one in hand, for the page to show once that is answered; 204 where there is none."""
    standing = request.standing
    if standing.is_reading_due or not standing.annotates or standing.paused or not standing.is_qualified:
        return HttpResponse(status=204)
    now = timezone.now()
    assignment = claim_ahead(annotator=request.user, project=project, now=now, generator=random.Random())
    if assignment is None:
        return HttpResponse(status=204)
    return _hand_over(request, assignment, {"project": project, "is_ahead": True})


def _go_on(request: WorkerRequest, project: Project) -> HttpResponse:
    """What comes next for this person here: most often a task."""
    standing = request.standing
    context: dict[str, object] = {"project": project, "guideline": standing.guideline}
    if standing.is_reading_due:
        return show_workspace(request, "unread", context)
    if not standing.annotates:
        return _answer_reference(request, project, context)
    if standing.paused or standing.is_refused:
        return _keep_from_work(request, project, context)
    if not standing.is_qualified:
        kept = _onboard(request, project, context)
        if kept is not None:
            return kept
    now = timezone.now()
    assignment = claim_next(annotator=request.user, project=project, now=now, generator=random.Random())
    if assignment is None:
        return show_workspace(request, "finished", context)
    return _hand_over(request, assignment, context)


def _answer_reference(request: WorkerRequest, project: Project, context: dict[str, object]) -> HttpResponse:
    """What a researcher chose to answer; without it, the page where they choose."""
    held = Assignment.objects.held_by(request.user).filter(project=project)
    assignment = held.select_related("prompt").with_images().first()
    if assignment is not None:
        return _hand_over(request, assignment, context)
    references = reverse("references", args=[project.slug])
    return HttpResponseClientRedirect(references) if request.htmx else redirect(references)


def _keep_from_work(request: WorkerRequest, project: Project, context: dict[str, object]) -> HttpResponse:
    """Why there is no work for this person."""
    decided = Qualification.objects.filter(project=project, user=request.user).first()
    return show_workspace(request, "kept", {**context, "standing": request.standing, "decided": decided})


def _onboard(request: WorkerRequest, project: Project, context: dict[str, object]) -> HttpResponse | None:
    """The next item of the training or the test; after the last one, None for who passed."""
    now = timezone.now()
    item = claim_lesson(annotator=request.user, project=project, now=now, generator=random.Random())
    if item is not None:
        return _hand_over(request, item, context)
    try:
        decided = decide_qualification(annotator=request.user, project=project, now=now)
    except NotTested:
        return show_workspace(request, "untested", context)
    if decided.outcome == Qualification.Outcome.REFUSED:
        return _keep_from_work(request, project, context)
    messages.success(request, "You passed the test. Welcome!")
    return None


def _hand_over(request: WorkerRequest, assignment: Assignment, context: dict[str, object]) -> HttpResponse:
    """The task, as its draft left it. A script that has it ready is only given the claim on it."""
    project = assignment.project = request.standing.project
    if assignment.draft is None and request.POST.get("ready") == assignment.ready_version:
        toasts = render(request, f"{WORK}#toasts", context)
        toasts.headers["Task-Claim"] = assignment.claim
        return toasts
    if assignment.draft is None:
        form = JudgementForm(project=project, order=assignment.order)
    else:
        form = JudgementForm.from_draft(assignment.draft, project=project, order=assignment.order)
    return show_workspace(request, "task", {**context, **task_context(assignment, form)})


def show_workspace(
    request: MemberRequest, state: str, context: dict[str, object], *, status: int = 200
) -> HttpResponse:
    """The workspace in this state; a script gets the state's partial alone."""
    template = f"{WORK}#{state}" if request.htmx else WORK
    return render(request, template, {**context, "state": state}, status=status)


@require_POST
@member_required
def submit(request: WorkerRequest, slug: str, token: UUID) -> HttpResponse:
    """Store the answer and go on to the next task; a refusal shows the answer again with what is wrong."""
    assignment = _mine(request, slug, token)
    if assignment is None:
        return _lost(request, slug, status=404)
    form = JudgementForm(request.POST, project=assignment.project, order=assignment.order)
    if not form.is_valid():
        return _refuse(request, assignment, form)
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
        return _refuse(request, assignment, form, contradicts=isinstance(error, Contradiction))
    except LeaseLost:
        return _lost(request, slug, status=409, closed=assignment)
    if assignment.kind == Assignment.Kind.TRAINING:
        return redirect("feedback", slug, assignment.token)
    messages.success(request, "Answer stored.", extra_tags="stored")
    if not request.htmx:
        return redirect("work", slug)
    standing = standing_in(slug, request.user)
    if standing is None:
        raise Http404
    request.standing = standing
    return _go_on(request, standing.project)


@require_POST
@member_required
def draft(request: MemberRequest, slug: str, token: UUID) -> HttpResponse:
    """Keep the answer as far as it has come; nothing of it is checked."""
    assignment = _mine(request, slug, token)
    if assignment is None:
        return _lost(request, slug, status=404)
    form = JudgementForm(request.POST, project=assignment.project, order=assignment.order)
    try:
        save_draft(assignment=assignment, annotator=request.user, answer=form.draft(), now=timezone.now())
    except LeaseLost:
        return _lost(request, slug, status=409, closed=assignment)
    return HttpResponse(status=204, headers={"Draft-Version": assignment.draft_version})


@require_POST
@member_required
def skip(request: MemberRequest, slug: str, token: UUID) -> HttpResponse:
    """Pass on the task, and go on to the next one; a refusal shows the task again, as its draft left it."""
    assignment = _mine(request, slug, token)
    if assignment is None:
        return _lost(request, slug, status=404)
    form = SkipForm(request.POST)
    if not form.is_valid():
        return _keep_on(request, assignment, "Not skipped: say why.")
    try:
        skip_task(assignment=assignment, annotator=request.user, now=timezone.now(), **form.cleaned_data)
    except SkipsUsedUp as error:
        return _keep_on(request, assignment, str(error))
    except NotSkippable:
        return _keep_on(request, assignment, "This task cannot be skipped.")
    except LeaseLost:
        return _lost(request, slug, status=409, closed=assignment)
    messages.success(request, "Skipped: somebody else is asked.")
    return redirect("work", slug)


@require_POST
@worker_required
def acknowledge_guideline(request: WorkerRequest, project: Project, version: int) -> HttpResponse:
    """Record that this version was read, and begin."""
    guideline = get_object_or_404(project.guidelines, version=version)
    acknowledge(guideline=guideline, user=request.user)
    return redirect("work", project.slug)


def _mine(request: MemberRequest, slug: str, token: UUID) -> Assignment | None:
    """The assignment, if it is this person's as the form was made for it, and they still work there."""
    assignment = own_assignment(slug, request.user, token)
    if assignment is None or not assignment.claim or assignment.claim != request.POST.get("claim"):
        return None
    return assignment


def task_context(assignment: Assignment, form: JudgementForm, *, refused: bool = False) -> dict[str, object]:
    """What the task's partial shows. Args: refused: the form's errors too, beginning at the first."""
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
        "slots": form.slots,
    }


def _keep_on(request: MemberRequest, assignment: Assignment, unskipped: str) -> HttpResponse:
    """The task once more, as its draft left it, with why it was not skipped."""
    standing = standing_in(assignment.project.slug, request.user)
    form = JudgementForm.from_draft(
        assignment.draft or {}, project=assignment.project, order=assignment.order
    )
    context = {
        "project": assignment.project,
        "guideline": standing and standing.guideline,
        "unskipped": unskipped,
        **task_context(assignment, form),
    }
    return show_workspace(request, "task", context, status=422)


def _refuse(
    request: MemberRequest, assignment: Assignment, form: JudgementForm, *, contradicts: bool = False
) -> HttpResponse:
    project = assignment.project
    standing = standing_in(project.slug, request.user)
    context = {
        "project": project,
        "guideline": standing and standing.guideline,
        "can_confirm": contradicts and project.consistency == Project.Consistency.WARN,
        **task_context(assignment, form, refused=True),
    }
    return show_workspace(request, "task", context, status=422)


def _lost(
    request: MemberRequest, slug: str, *, status: int, closed: Assignment | None = None
) -> HttpResponse:
    """404: not this annotator's (any more). 409: theirs, but closed: with another answer, or skipped."""
    standing = standing_in(slug, request.user)
    if standing is None:
        raise Http404
    is_skipped = closed is not None and Skip.objects.filter(assignment=closed).exists()
    opened_by = request.POST.get("by", "")  # somebody else may have signed in since, in another tab
    context = {
        "project": standing.project,
        "is_answered": status == 409,
        "is_skipped": is_skipped,
        "opened_by": opened_by if opened_by != request.user.username else "",
    }
    return show_workspace(request, "lost", context, status=status)
