"""Project administration: settings, progress, guideline, log."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from annotation.access import (
    Do,
    MemberRequest,
    admin_required,
    may_create_projects,
    member_required,
    members_who,
    projects_where,
)
from annotation.bodies import takes_files
from annotation.charts import by_day
from annotation.forms.projects import FIRST_GUIDELINE, GuidelineForm, NewProjectForm, ProjectForm
from annotation.models import Project, Prompt
from annotation.registry import ACTIONS, action_choices
from annotation.selectors.projects.images import strips
from annotation.selectors.results.progress import (
    ProjectProgress,
    newest_answers,
    project_progress,
    waiting_prompts,
)
from annotation.services.imports import ImportRefused, start_project
from annotation.services.imports.archives import MOST_BYTES
from annotation.services.projects.projects import SettingsFrozen, change_settings, publish_guideline
from annotation.tasks import wake_import
from annotation.waking import say_if_late

OVERVIEW = "annotation/projects/overview.html"
NEW = "annotation/projects/new.html"
SETTINGS = "annotation/projects/settings.html"
GUIDELINE = "annotation/projects/guideline.html"
LOG = "annotation/projects/log.html"
LOGGED = 50  # actions per page
SHOWN_DAYS = 14
FORESEEABLE_DAYS = 3650
SHOWN_PROMPTS = 5  # that are given out next
SHOWN_ANSWERS = 5  # newest


@require_safe
@member_required
def projects(request: MemberRequest) -> HttpResponse:
    """List the projects that the user administrates."""
    return render(request, "annotation/projects/list.html", {"projects": _administrated(request)})


@takes_files(MOST_BYTES)
@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def new_project(request: MemberRequest) -> HttpResponse:
    """Create a project; allowed for superusers and for admins of any project."""
    _administrated(request)
    if request.method != "POST":
        form = NewProjectForm(initial={"guideline": render_to_string(FIRST_GUIDELINE)})
        return render(request, NEW, {"form": form})
    form = NewProjectForm(request.POST, request.FILES)
    if not form.is_valid():
        return render(request, NEW, {"form": form}, status=422)
    material = form.cleaned_data.pop("material")
    try:
        project, upload = start_project(
            admin=request.user, now=timezone.now(), material=material, **form.cleaned_data
        )
    except ImportRefused as error:
        form.add_error("material", str(error))
        return render(request, NEW, {"form": form}, status=422)
    except (ValidationError, IntegrityError):  # it was free when the form was checked
        form.add_error("slug", "Somebody has just made a project of this short name: choose another.")
        return render(request, NEW, {"form": form}, status=422)
    if upload is None:
        return redirect("project", project.slug)
    say_if_late(request, wake_import(upload))
    return redirect("project-prompts", project.slug)


@require_safe
@admin_required
def overview(request: MemberRequest, project: Project) -> HttpResponse:
    """Show the project's progress; the page polls every few seconds."""
    now = timezone.now()
    progress = project_progress(project, now=now)
    days = progress.days_left
    waiting = waiting_prompts(project, count=SHOWN_PROMPTS)
    context = {
        "project": project,
        "tab": "overview",
        "progress": progress,
        "accepted_note": f"{progress.finished:,} of {progress.wanted:,}",
        "chart": _answers_by_day(progress),
        "has_annotators": members_who(project, Do.ANNOTATE).exists(),
        "waiting": waiting,
        "strips": strips([prompt.pk for prompt in waiting]),
        "newest": newest_answers(project, count=SHOWN_ANSWERS),
        "expected_end": now + timedelta(days=days) if days and days < FORESEEABLE_DAYS else None,
    }
    return render(request, f"{OVERVIEW}#progress" if request.htmx else OVERVIEW, context)


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required
def settings(request: MemberRequest, project: Project) -> HttpResponse:
    context = {"project": project, "tab": "settings", "is_frozen": project.assignments.exists()}
    if request.method != "POST":
        return render(request, SETTINGS, {**context, "form": ProjectForm(instance=project)})
    form = ProjectForm(request.POST, instance=project)
    if not form.is_valid():
        return render(request, SETTINGS, {**context, "form": form}, status=422)
    try:
        change_settings(project=project, by=request.user, **form.cleaned_data)
    except SettingsFrozen as error:
        for name in error.fields:
            form.add_error(name, "Stays as it is: work is open already, or being imported.")
        return render(request, SETTINGS, {**context, "form": form}, status=422)
    messages.success(request, "Settings stored.")
    return redirect("project-settings", project.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required
def guideline(request: MemberRequest, project: Project) -> HttpResponse:
    newest = project.guidelines.first()
    context = {"project": project, "tab": "guideline", "newest": newest}
    if request.method != "POST":
        form = GuidelineForm(initial={"text": newest.text if newest else render_to_string(FIRST_GUIDELINE)})
        return render(request, GUIDELINE, {**context, "form": form})
    form = GuidelineForm(request.POST)
    if not form.is_valid():
        return render(request, GUIDELINE, {**context, "form": form}, status=422)
    published = publish_guideline(project=project, text=form.cleaned_data["text"], by=request.user)
    messages.success(request, f"Version {published.version} published; annotators are asked to read it.")
    return redirect("project-guideline", project.slug)


@require_safe
@admin_required
def log(request: MemberRequest, project: Project) -> HttpResponse:
    """Show the project's actions, newest first, optionally filtered by kind or user."""
    actions = project.actions.select_related("actor")
    kind = request.GET.get("kind", "")
    if kind in ACTIONS:
        actions = actions.filter(kind=kind)
    who = request.GET.get("who", "").strip()[:150]
    if who:
        actions = actions.filter(actor__username=who)
    page = Paginator(actions, LOGGED).get_page(request.GET.get("page"))
    named = {prompt for action in page for prompt in action.prompt_ids}
    # Those of studies have no page to lead to.
    shown = strips(Prompt.objects.filter(pk__in=named).values_list("pk", flat=True))
    context = {"project": project, "tab": "log", "page": page, "strips": shown, "kinds": action_choices()}
    return render(request, LOG, {**context, "kind": kind, "who": who})


def _administrated(request: MemberRequest) -> QuerySet[Project]:
    """Return the user's projects as an admin. Raises: Http404 if there are none."""
    if not may_create_projects(request.user):
        raise Http404
    return projects_where(request.user, Do.ADMINISTER)


def _answers_by_day(progress: ProjectProgress) -> dict[str, object]:
    """Return the chart of answers in the last days."""
    counts = dict(progress.days)
    newest = max(counts, default=timezone.now().date())
    first = newest - timedelta(days=SHOWN_DAYS - 1)
    label = "Answers submitted by day"
    return by_day(counts, first=first, last=newest, id="answers-by-day", label=label, name="answers")
