"""Who may see what. Somebody without the role gets a 404: the project's existence is not told."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django_htmx.middleware import HtmxDetails

from annotation.models import Membership, Project, User
from annotation.selectors.assignments.standings import Standing, standing_in

View = Callable[..., HttpResponseBase]
INSPECTING = (Membership.Role.INSPECTOR, Membership.Role.ADMIN)
RESEARCHING = (Membership.Role.RESEARCHER, Membership.Role.ADMIN)
STUDYING = (Membership.Role.INSPECTOR, Membership.Role.RESEARCHER, Membership.Role.ADMIN)


class MemberRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    htmx: HtmxDetails


class WorkerRequest(MemberRequest):
    """A request of somebody who has a part in the work of a project."""

    standing: Standing


def member_required(view: View) -> View:
    """Signed-in people only. A page asks to sign in; a script gets a 401, so that its page stays."""

    @wraps(view)
    def check(request: MemberRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if request.htmx:
            return HttpResponse("You are signed out.", status=401, content_type="text/plain")
        return redirect_to_login(request.get_full_path())

    return check


def role_required(*roles: str) -> Callable[[View], View]:
    """Members of the project `slug` with one of the roles; the view is given the project."""

    def decorate(view: View) -> View:
        @wraps(view)
        @member_required
        def check(request: MemberRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            project = get_object_or_404(Project.objects.with_role(request.user, *roles), slug=slug)
            return view(request, project, *args, **kwargs)

        return check

    return decorate


researcher_required = role_required(*RESEARCHING)
inspecting_required = role_required(*INSPECTING)
studying_required = role_required(*STUDYING)
admin_required = role_required(Membership.Role.ADMIN)


def admins_projects(page: str) -> Callable[[View], View]:
    """Admins only. One who has a single project is sent to its `page`; the view is given all of several."""

    def decorate(view: View) -> View:
        @wraps(view)
        @member_required
        def check(request: MemberRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            projects = Project.objects.with_role(request.user, Membership.Role.ADMIN)
            if not projects:
                raise Http404
            if len(projects) == 1:
                return redirect(page, projects[0].slug)
            return view(request, projects, *args, **kwargs)

        return check

    return decorate


def worker_required(view: View) -> View:
    """People with a part in the work of the project `slug`; the view is given the project."""

    @wraps(view)
    @member_required
    def check(request: WorkerRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
        standing = standing_in(slug, request.user)
        if standing is None:
            raise Http404
        request.standing = standing
        return view(request, standing.project, *args, **kwargs)

    return check


def client_address(request: HttpRequest) -> str:
    """Where the request comes from; of IPv6 the /64, which is one customer's.

    Behind proxies it is what the outermost of ours saw; what stands before that, anybody may have written.
    """
    seen = str(request.META.get("REMOTE_ADDR", ""))
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")
    if 0 < settings.PROXIES <= len(forwarded):
        seen = forwarded[-settings.PROXIES].strip()
    try:
        address = ip_address(seen)
    except ValueError:  # a Unix socket's, or no address at all
        return seen[:45]
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


def inspector_required(view: View) -> View:
    """People who inspect or administrate at least one project; the view looks only at theirs."""

    @wraps(view)
    @member_required
    def check(request: MemberRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not Project.objects.with_role(request.user, *INSPECTING).exists():
            raise Http404
        return view(request, *args, **kwargs)

    return check


def role_in(project: Project, user: User) -> str | None:
    """The user's role in the project; a superuser is an admin everywhere."""
    if user.is_superuser:
        return Membership.Role.ADMIN
    return project.memberships.filter(user=user).values_list("role", flat=True).first()
