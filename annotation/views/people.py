"""A project's people: members, whom admins add or invite by a link, and joining by it."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotation.access import MemberRequest, admin_required
from annotation.addresses import client_address
from annotation.forms.accounts import InvitationForm, JoiningForm, WishForm
from annotation.forms.projects import MemberForm
from annotation.models import Invitation, Project, User
from annotation.services.people.accounts import NameTaken, open_account, propose_name
from annotation.services.people.invitations import (
    AlreadyMember,
    InvitationOver,
    invite,
    join,
    open_invitation,
    revoke,
)
from annotation.services.people.members import MemberRefused, OwnProject, give_role, take_role
from annotation.services.people.rates import count_request
from annotation.services.people.resets import resettable_members
from annotation.views.accounts import welcome

PEOPLE = "annotation/people/list.html"
JOIN = "annotation/people/join.html"
PROPOSALS_A_MINUTE = 60  # to one address: a class joins at once, and nobody learns taken numbers by asking


@require_safe
@admin_required
def people(request: MemberRequest, project: Project) -> HttpResponse:
    return show_people(request, project)


def show_people(
    request: MemberRequest, project: Project, context: dict[str, object] | None = None
) -> HttpResponse:
    """Render the page, with what a form on it made."""
    return render(request, PEOPLE, _context(request, project, MemberForm()) | (context or {}))


@require_POST
@never_cache
@sensitive_variables("password")
@admin_required
def add_person(request: MemberRequest, project: Project) -> HttpResponse:
    """Give somebody a role. A new account's password is shown once, in this response, and stored hashed."""
    form = MemberForm(request.POST)
    if not form.is_valid():
        return render(request, PEOPLE, _context(request, project, form), status=422)
    try:
        membership, password = give_role(project=project, by=request.user, **form.cleaned_data)
    except MemberRefused as error:
        form.add_error(error.field, str(error))
        return render(request, PEOPLE, _context(request, project, form), status=422)
    if password is not None:
        context = {**_context(request, project, MemberForm()), "made": membership.user, "password": password}
        return render(request, PEOPLE, context)
    messages.success(request, f"{membership.user} is {membership.role} now.")
    return redirect("project-people", project.slug)


@require_POST
@admin_required
def remove_person(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Remove a member; admins cannot remove themselves."""
    user = get_object_or_404(User.objects.filter(memberships__project=project), pk=pk)
    try:
        take_role(project=project, user=user, by=request.user)
    except OwnProject:
        form = MemberForm()
        return render(request, PEOPLE, {**_context(request, project, form), "is_self": True}, status=409)
    messages.success(request, f"{user.username} was removed.")
    return redirect("project-people", project.slug)


@require_POST
@never_cache
@admin_required
def add_invitation(request: MemberRequest, project: Project) -> HttpResponse:
    """Create a link. It is shown only in this response, and stored only hashed."""
    form, now = InvitationForm(request.POST, auto_id="invitation_%s"), timezone.now()
    if not form.is_valid():
        context = _context(request, project, MemberForm()) | {"invitation_form": form}
        return render(request, PEOPLE, context, status=422)
    role, uses = form.cleaned_data["role"], form.cleaned_data["uses"]
    invitation, token = invite(
        project=project, role=role, uses=uses, expires_at=form.expires_at(now), by=request.user, now=now
    )
    link = request.build_absolute_uri(reverse("join", args=[token]))
    context = _context(request, project, MemberForm()) | {"invited": invitation, "link": link}
    return render(request, PEOPLE, context)


@require_POST
@admin_required
def revoke_invitation(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Revoke the link."""
    invitation = get_object_or_404(project.invitations, pk=pk)
    try:
        revoke(invitation=invitation, by=request.user, now=timezone.now())
    except InvitationOver:
        messages.info(request, "The invitation was over already.")
    else:
        messages.success(request, "Nobody can join by this link any more.")
    return redirect("project-people", project.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_post_parameters("new_password1", "new_password2")
def join_project(request: HttpRequest, token: str) -> HttpResponse:
    """Join by a link, with an existing account or a new one."""
    try:
        invitation = open_invitation(token=token, now=timezone.now())
        if not request.user.is_authenticated:
            return _join_as_somebody_new(request, invitation, token)
        if request.method == "POST":
            join(token=token, user=request.user, now=timezone.now())
            return redirect("home")
    except InvitationOver:
        return render(request, JOIN, {"is_over": True}, status=404)
    except AlreadyMember:
        return render(request, JOIN, {"is_member": True, "invitation": invitation}, status=409)
    return render(request, JOIN, {"invitation": invitation})


def _join_as_somebody_new(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    """Ask for a name, propose one with a number, ask for a password. No answer tells which names exist.

    Raises: InvitationOver.
    """
    context: dict[str, object] = {"invitation": invitation, "issuer": settings.OIDC_ISSUER}
    name = JoiningForm.name_in(request.POST.get("proposal", ""))
    if name is None:
        wish = WishForm(request.POST if "wish" in request.POST else None)
        if not wish.is_valid():
            return render(request, JOIN, {**context, "wish": wish}, status=422 if wish.errors else 200)
        if count_request(f"names {client_address(request)}", now=timezone.now()) > PROPOSALS_A_MINUTE:
            return render(request, JOIN, {**context, "wish": wish, "is_too_much": True}, status=429)
        return _propose(request, context, propose_name(wish.cleaned_data["wish"]))
    form = JoiningForm(User(username=name), request.POST)
    if not form.is_valid():
        return render(request, JOIN, {**context, "form": form, "name": name}, status=422)
    try:
        with transaction.atomic():  # no account is left behind if the link's last use is gone
            user = open_account(username=name, password=form.cleaned_data["new_password1"])
            join(token=token, user=user, now=timezone.now())
    except NameTaken:  # since it was proposed
        return _propose(request, context, propose_name(name.rpartition("-")[0]))
    return welcome(request, user, resolve_url("home"))


def _propose(request: HttpRequest, context: dict[str, object], name: str) -> HttpResponse:
    form = JoiningForm(User(username=name), initial={"proposal": JoiningForm.sign(name)})
    return render(request, JOIN, {**context, "form": form, "name": name})


def _context(request: MemberRequest, project: Project, form: MemberForm) -> dict[str, object]:
    """Return the page's context: members and open invitations."""
    members = project.memberships.select_related("user").order_by("role", "user__username")
    return {
        "project": project,
        "tab": "people",
        "members": members,
        "resettable": set(resettable_members(project, by=request.user).values_list("pk", flat=True)),
        "form": form,
        "invitations": Invitation.objects.open(now=timezone.now()).filter(project=project),
        "invitation_form": InvitationForm(auto_id="invitation_%s"),
    }
