"""The home page: the user's projects, and what there is to do in each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from annotation.access import MAY, SUPERUSER, Do, MemberRequest, Standing, member_required, standing_in
from annotation.models import Assignment, Project, User
from annotation.navigation import PANELS
from annotation.selectors.checks.checks import Agreed, quality_of, start_of_day
from annotation.selectors.results.hours import OwnWork
from annotation.selectors.results.progress import AnnotatorProgress, annotator_progress
from annotation.views.answers import own_work


@dataclass(frozen=True)
class Place:
    """One project on the home page, as shown to the role.

    `waiting` counts answers to inspect; `mine`, `work`, `quality` and `standing` are an annotator's own.
    `panels` has the template of each panel of another app, and what it shows.
    """

    project: Project
    role: str
    annotates: bool
    inspects: bool
    administers: bool
    mine: AnnotatorProgress | None
    work: OwnWork | None
    quality: Agreed | None
    standing: Standing | None
    has_work: bool
    waiting: int
    panels: list[tuple[str, object]]


@require_safe
@member_required
def home(request: MemberRequest) -> HttpResponse:
    projects = _projects(request.user)
    panels = _panels(projects)
    places = [
        _project_place(request.user, project, role, panels.get(project.pk, [])) for project, role in projects
    ]
    return render(request, "annotation/home.html", {"places": places, "only": len(places) == 1})


def _projects(user: User) -> list[tuple[Project, str]]:
    """Return the user's projects and roles; a superuser without a role is an admin."""
    roles = dict(user.memberships.values_list("project_id", "role"))
    projects = Project.objects.all() if user.is_superuser else Project.objects.filter(pk__in=roles)
    return [(project, roles.get(project.pk, SUPERUSER)) for project in projects]


def _panels(projects: Sequence[tuple[Project, str]]) -> dict[int, list[tuple[str, object]]]:
    """Return what other apps show of each project to the user's role in it, by the project's id."""
    shown: dict[int, list[tuple[str, object]]] = defaultdict(list)
    for panel in PANELS:
        allowed = [project for project, role in projects if panel.needs in MAY[role]]
        if allowed:
            for pk, content in panel.read(allowed).items():
                shown[pk].append((panel.template, content))
    return shown


def _project_place(user: User, project: Project, role: str, panels: list[tuple[str, object]]) -> Place:
    assignments = Assignment.objects.filter(project=project)
    submitted = assignments.filter(state=Assignment.State.SUBMITTED).exclude(annotator=user)
    annotates = Do.ANNOTATE in MAY[role]
    standing = standing_in(project.slug, user) if annotates else None
    return Place(
        project=project,
        role=role,
        annotates=annotates,
        inspects=Do.INSPECT in MAY[role],
        administers=Do.ADMINISTER in MAY[role],
        mine=annotator_progress(user, project) if annotates else None,
        work=own_work(user, project) if annotates else None,
        quality=quality_of(user, project, before=start_of_day(timezone.now())) if annotates else None,
        standing=standing,
        has_work=standing is not None and _has_work(user, standing),
        waiting=0 if annotates else submitted.count(),
        panels=panels,
    )


def _has_work(user: User, standing: Standing) -> bool:
    """Return whether there is work, or guideline, training or test before it."""
    if standing.paused or standing.is_refused:
        return False
    assignments = Assignment.objects.filter(project=standing.project)
    claimable = assignments.claimable_by(user, now=timezone.now())
    return assignments.leased_by(user).exists() or claimable.exists()
