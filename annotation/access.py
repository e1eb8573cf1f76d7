"""Permissions: one table of what each role may do, and the functions that check it.

A new role is a member of `Membership.Role`, with its migration, and a line of `MAY`: nothing else names one.
Refusals are 404s, which do not reveal that the project exists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial, wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django_htmx.middleware import HtmxDetails

from annotation.models import (
    Acknowledgement,
    Guideline,
    Membership,
    Pause,
    Project,
    Qualification,
    User,
)
from annotation.statements import Parameter, Statement

View = Callable[..., HttpResponseBase]
Role = Membership.Role


class Do(Enum):
    """A permission of a project's members."""

    SEE = auto()  # learn that the project exists, and fetch its images
    WORK = auto()  # answer in the workspace: tasks, or prompts that others are compared on
    ANNOTATE = auto()  # be given tasks, and be checked, paused and qualified
    GIVE_REFERENCES = auto()  # give answers that others' may be compared with
    INSPECT = auto()  # accept and send back answers, pause and qualify annotators
    RESEARCH = auto()  # choose prompts to answer for comparison, try reward models, read their evaluations
    STUDY = auto()  # read agreement, analysis and leaderboard
    ADMINISTER = auto()  # everything else of the project


MAY: dict[str, frozenset[Do]] = {
    Role.ANNOTATOR: frozenset({Do.SEE, Do.WORK, Do.ANNOTATE}),
    Role.INSPECTOR: frozenset({Do.SEE, Do.GIVE_REFERENCES, Do.INSPECT, Do.STUDY}),
    Role.RESEARCHER: frozenset({Do.SEE, Do.WORK, Do.GIVE_REFERENCES, Do.RESEARCH, Do.STUDY}),
    Role.ADMIN: frozenset(Do) - {Do.ANNOTATE},
}
SUPERUSER = Role.ADMIN  # a superuser's role in every project
CREATOR = Role.ADMIN  # the role of whoever makes a project


def roles_that(do: Do) -> list[str]:
    """Return the roles that may do this."""
    return [role for role, allowed in MAY.items() if do in allowed]


def reaches(user: User, project: int) -> bool:
    """Return whether the request may be about this project: with a token for one, about none but that."""
    return user.only_project in (None, project)


def permissions_in(project: Project, user: User) -> frozenset[Do]:
    """Return the user's permissions in the project; superusers have an admin's."""
    if not reaches(user, project.pk):
        return frozenset()
    if user.is_superuser:
        return MAY[SUPERUSER]
    role = project.memberships.filter(user=user).values_list("role", flat=True).first()
    return MAY[role] if role else frozenset()


def permissions_anywhere(user: User) -> frozenset[Do]:
    """Return the user's permissions in any project that the request may be about, in one query."""
    allowed = MAY[SUPERUSER] if user.is_superuser else frozenset()
    roles = user.memberships.values_list("role", flat=True).distinct()
    if user.only_project is not None:
        roles = roles.filter(project=user.only_project)
    return allowed.union(*(MAY[role] for role in roles))


def may(user: User, do: Do, project: Project) -> bool:
    return do in permissions_in(project, user)


def projects_where(user: User, do: Do) -> QuerySet[Project]:
    """Return the projects in which the user may do this; with a token for one project, none but that."""
    projects = Project.objects.filter(in_projects_where(user.pk, user.is_superuser, do))
    return projects if user.only_project is None else projects.filter(pk=user.only_project)


def may_create_projects(user: User) -> bool:
    """Return whether the user may make a project: superusers, and admins of any; no token for one project."""
    if user.only_project is not None:
        return False
    return user.is_superuser or projects_where(user, Do.ADMINISTER).exists()


def in_projects_where(user: int | Parameter, is_superuser: bool, do: Do) -> Q:
    if is_superuser and do in MAY[SUPERUSER]:
        return Q()
    return Q(memberships__user=user, memberships__role__in=roles_that(do))


def members_who(project: Project, do: Do) -> QuerySet[Membership]:
    """Return the project's members who may do this, without superusers who are not members."""
    return project.memberships.filter(role__in=roles_that(do))


def people_who(project: Project, do: Do) -> QuerySet[User]:
    """Return everybody who may do this in the project, including superusers."""
    people = Q(pk__in=members_who(project, do).values("user"))
    return User.objects.filter(people | Q(is_superuser=True) if do in MAY[SUPERUSER] else people)


@dataclass(frozen=True)
class Standing:
    """A user's standing in a project: their role, and what keeps them from getting tasks.

    `guideline` is the newest version; `is_reading_due` until they acknowledge it. `paused` is the reason of
    their pause, or None. `outcome` is of their qualification, None where untested.
    """

    project: Project
    role: str
    guideline: Guideline
    is_reading_due: bool
    paused: str | None
    outcome: str | None

    @property
    def annotates(self) -> bool:
        return Do.ANNOTATE in MAY[self.role]

    @property
    def is_qualified(self) -> bool:
        return is_qualified(self.project, self.outcome)

    @property
    def gets_tasks(self) -> bool:
        return self.annotates and not self.is_reading_due and not self.paused and self.is_qualified

    @property
    def is_refused(self) -> bool:
        return not self.is_qualified and self.outcome is not None


def is_qualified(project: Project, outcome: str | None) -> bool:
    """Return whether an annotator with this outcome, None if untested, may get the project's tasks."""
    return not project.requires_qualification or outcome == Qualification.Outcome.QUALIFIED


def pause_reason(project: OuterRef | Parameter, user: Parameter) -> QuerySet[Pause, Any]:
    """Return the reason of the user's current pause in the project, as a subquery."""
    return Pause.objects.in_force().order_by().filter(project=project, user=user).values("reason")


def newest_outcome(project: OuterRef | Parameter, user: Parameter) -> QuerySet[Qualification, Any]:
    """Return the outcome of the user's qualification for the project, as a subquery."""
    outcomes = Qualification.objects.filter(project=project, user=user).order_by("-pk")
    return outcomes.values("outcome")[:1]


def _standings(*, is_superuser: bool) -> QuerySet[Guideline]:
    project, user = OuterRef("project"), Parameter("user")
    projects = Project.objects.filter(in_projects_where(user, is_superuser, Do.WORK), slug=Parameter("slug"))
    role = Membership.objects.filter(project=project, user=user).values("role")
    acknowledgements = Acknowledgement.objects.filter(guideline=OuterRef("pk"), user=user)
    newest = Guideline.objects.filter(project__in=projects).select_related("project").order_by("-version")
    return newest.annotate(
        role=Coalesce(Subquery(role), Value(SUPERUSER)),
        is_reading_due=~Exists(acknowledgements),
        paused=Subquery(pause_reason(project, user)),
        outcome=Subquery(newest_outcome(project, user)),
    )[:1]


STANDINGS = {
    is_superuser: Statement(partial(_standings, is_superuser=is_superuser)) for is_superuser in (False, True)
}


def standing_in(slug: str, user: User) -> Standing | None:
    """Return the user's standing in the project, in one query; None without a part in its work."""
    guideline = STANDINGS[user.is_superuser].first(slug=slug, user=user.pk)
    if guideline is None or not reaches(user, guideline.project.pk):
        return None
    fields = {name: getattr(guideline, name) for name in ("role", "is_reading_due", "paused", "outcome")}
    return Standing(guideline.project, guideline=guideline, **fields)


class MemberRequest(HttpRequest):
    """A request of a signed-in user."""

    user: User
    htmx: HtmxDetails


class WorkerRequest(MemberRequest):
    """A request of a user with a part in the work of a project."""

    standing: Standing


def member_required(view: View) -> View:
    """Admit signed-in users. Pages redirect to the sign-in; scripts get a 401, so that their page stays."""

    @wraps(view)
    def check(request: MemberRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if request.htmx:
            return HttpResponse("You are signed out.", status=401, content_type="text/plain")
        return redirect_to_login(request.get_full_path())

    return check


def required(do: Do) -> Callable[[View], View]:
    """Admit members of the project `slug` who may do this; the view gets the project."""

    def decorate(view: View) -> View:
        @wraps(view)
        @member_required
        def check(request: MemberRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            project = get_object_or_404(projects_where(request.user, do), slug=slug)
            return view(request, project, *args, **kwargs)

        return check

    return decorate


researcher_required = required(Do.RESEARCH)
inspector_required = required(Do.INSPECT)
studying_required = required(Do.STUDY)
admin_required = required(Do.ADMINISTER)


def required_anywhere(do: Do) -> Callable[[View], View]:
    """Admit users who may do this in any project; the view must restrict itself to those."""

    def decorate(view: View) -> View:
        @wraps(view)
        @member_required
        def check(request: MemberRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not projects_where(request.user, do).exists():
                raise Http404
            return view(request, *args, **kwargs)

        return check

    return decorate


def admins_projects(page: str) -> Callable[[View], View]:
    """Admit admins. With a single project, redirect to its `page`; else the view gets all of theirs."""

    def decorate(view: View) -> View:
        @wraps(view)
        @member_required
        def check(request: MemberRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            projects = projects_where(request.user, Do.ADMINISTER)
            if not projects:
                raise Http404
            if len(projects) == 1:
                return redirect(page, projects[0].slug)
            return view(request, projects, *args, **kwargs)

        return check

    return decorate


def worker_required(view: View) -> View:
    """Admit users with a part in the work of the project `slug`; the view gets the project."""

    @wraps(view)
    @member_required
    def check(request: WorkerRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
        standing = standing_in(slug, request.user)
        if standing is None:
            raise Http404
        request.standing = standing
        return view(request, standing.project, *args, **kwargs)

    return check
