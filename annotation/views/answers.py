"""The annotator's own answers: reading and revising them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import HttpResponseClientRedirect

from annotation.access import MemberRequest, WorkerRequest, worker_required
from annotation.forms.judgements import JudgementForm
from annotation.forms.quality import MINUTES
from annotation.models import Assignment, Project, User
from annotation.selectors.assignments import own_answers, why_closed
from annotation.selectors.checks.checks import quality_of, start_of_day
from annotation.selectors.results.hours import OwnWork, work_of
from annotation.selectors.results.progress import annotator_progress
from annotation.selectors.reviews import answer_of
from annotation.services.judgements.answers import judgement_of
from annotation.services.judgements.judgements import Contradiction, InvalidJudgement
from annotation.services.judgements.revisions import AnswerChanged, AnswerClosed, revise_judgement
from annotation.views.assignments import show_workspace, task_context

SHOWN = 24


@require_safe
@never_cache
@worker_required
def answers(request: WorkerRequest, project: Project) -> HttpResponse:
    """List the user's answers, newest first."""
    pages = Paginator(own_answers(request.user, project).select_related("prompt").with_images(), SHOWN)
    page = pages.get_page(request.GET.get("page"))
    for answer in page:
        answer.project = project
    rows = [(answer, why_closed(answer)) for answer in page]
    context = {
        "project": project,
        "page": page,
        "rows": rows,
        "work": own_work(request.user, project),
        "mine": annotator_progress(request.user, project),
        "quality": quality_of(request.user, project, before=start_of_day(timezone.now())),
    }
    return render(request, "annotation/judgements/answers.html", context)


@require_safe
@never_cache
@worker_required
def today(request: WorkerRequest, project: Project) -> HttpResponse:
    """Show today's work, for the bar above the workspace."""
    return render(request, "annotation/judgements/today.html", {"work": own_work(request.user, project)})


def own_work(user: User, project: Project) -> OwnWork:
    """Return the user's work, counted as in the default table of hours."""
    return work_of(user, project, now=timezone.now(), longest=timedelta(minutes=MINUTES))


@require_safe
@never_cache
@worker_required
def last_answer(request: WorkerRequest, project: Project) -> HttpResponse:
    """Redirect to the newest answer."""
    newest = own_answers(request.user, project).first()
    if newest is None:
        messages.info(request, "You have answered nothing here yet.")
        return redirect("work", project.slug)
    return redirect("own-answer", project.slug, newest.token)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@worker_required
def answer(request: WorkerRequest, project: Project, token: UUID) -> HttpResponse:
    """Show the user's answer in the form it was given in; a closed one is read-only."""
    answers = own_answers(request.user, project).select_related("prompt", "label").with_images()
    assignment = get_object_or_404(answers, token=token)
    assignment.project = project
    if request.method == "POST":
        return _revise(request, assignment)
    if reason := why_closed(assignment):
        return _show_closed(request, assignment, reason)
    form = JudgementForm.from_judgement(judgement_of(assignment), project=project, order=assignment.order)
    return _show_form(request, assignment, form)


def _revise(request: WorkerRequest, assignment: Assignment) -> HttpResponse:
    form = JudgementForm(request.POST, project=assignment.project, order=assignment.order)
    if not form.is_valid():
        return _show_form(request, assignment, form, refused=True)
    try:
        revise_judgement(
            assignment=assignment,
            annotator=request.user,
            judgement=form.judgement(),
            version=request.POST.get("version", ""),
            now=timezone.now(),
            confirmed=form.is_confirmed,
        )
    except InvalidJudgement as error:
        form.refuse(error)
        return _show_form(
            request, assignment, form, refused=True, contradicts=isinstance(error, Contradiction)
        )
    except AnswerClosed as error:
        return _not_stored(request, assignment, f"{error} What you changed just now is not stored.")
    except AnswerChanged:
        return _not_stored(
            request,
            assignment,
            "You changed this answer in another tab or at another machine since you opened it here. "
            "What you changed just now is not stored.",
        )
    messages.success(request, "Changed answer stored.")
    onward = reverse("work", args=[assignment.project.slug])
    return HttpResponseClientRedirect(onward) if request.htmx else redirect(onward)


def _show_form(
    request: WorkerRequest,
    assignment: Assignment,
    form: JudgementForm,
    *,
    refused: bool = False,
    contradicts: bool = False,
) -> HttpResponse:
    context = {
        "project": assignment.project,
        "guideline": request.standing.guideline,
        "can_confirm": contradicts and assignment.project.consistency == Project.Consistency.WARN,
        "is_change": True,
        **task_context(assignment, form, refused=refused),
    }
    return show_workspace(request, "task", context, status=422 if refused else 200)


def _show_closed(request: MemberRequest, assignment: Assignment, why: str) -> HttpResponse:
    context = {
        "project": assignment.project,
        "assignment": assignment,
        "answer": answer_of(assignment),
        "why": why,
    }
    return render(request, "annotation/judgements/answer.html", context)


def _not_stored(request: MemberRequest, assignment: Assignment, why: str) -> HttpResponse:
    context = {"project": assignment.project, "assignment": assignment, "why": why}
    return show_workspace(request, "overtaken", context, status=409)
