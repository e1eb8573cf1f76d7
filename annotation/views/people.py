"""Who takes part in a project."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from annotation.access import MemberRequest, admin_required
from annotation.forms.accounts import InvitationForm
from annotation.forms.projects import MemberForm
from annotation.models import Invitation, Membership, Project, User
from annotation.services.people.people import NameTaken, create_account
from annotation.services.projects.projects import add_member, remove_member

PEOPLE = "annotation/people/list.html"


@require_safe
@admin_required
def people(request: MemberRequest, project: Project) -> HttpResponse:
    return render(request, PEOPLE, people_context(project, MemberForm()))


@require_POST
@never_cache
@sensitive_variables("password")
@admin_required
def add_person(request: MemberRequest, project: Project) -> HttpResponse:
    """Give somebody a role. A new account's password is on this answer only, and never stored in clear."""
    form = MemberForm(request.POST)
    if not form.is_valid():
        return render(request, PEOPLE, people_context(project, form), status=422)
    username, password = form.cleaned_data["username"], None
    if form.cleaned_data["new_account"]:
        try:
            user, password = create_account(username=username, project=project, by=request.user)
        except NameTaken:
            form.add_error("username", "There is an account of this name already.")
            return render(request, PEOPLE, people_context(project, form), status=422)
    else:
        found = User.objects.filter(username=username).first()
        if found is None:
            form.add_error("username", "There is no account of this name.")
            return render(request, PEOPLE, people_context(project, form), status=422)
        user = found
    keeps = user.is_superuser or form.cleaned_data["role"] == Membership.Role.ADMIN
    if user == request.user and not keeps:
        form.add_error("role", "You cannot take this project from yourself. Another admin can.")
        return render(request, PEOPLE, people_context(project, form), status=422)
    add_member(project=project, user=user, role=form.cleaned_data["role"], by=request.user)
    if password is not None:
        context = {**people_context(project, MemberForm()), "made": user, "password": password}
        return render(request, PEOPLE, context)
    messages.success(request, f"{username} is {form.cleaned_data['role']} now.")
    return redirect("project-people", project.slug)


@require_POST
@admin_required
def remove_person(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Take a role away; an admin cannot lock themselves out."""
    user = get_object_or_404(User.objects.filter(memberships__project=project), pk=pk)
    if user == request.user:
        form = MemberForm()
        return render(request, PEOPLE, {**people_context(project, form), "is_self": True}, status=409)
    remove_member(project=project, user=user, by=request.user)
    messages.success(request, f"{user.username} was removed.")
    return redirect("project-people", project.slug)


def people_context(project: Project, form: MemberForm) -> dict[str, object]:
    """What the page shows: members, and invitations that still let somebody in."""
    members = project.memberships.select_related("user").order_by("role", "user__username")
    return {
        "project": project,
        "tab": "people",
        "members": members,
        "form": form,
        "invitations": Invitation.objects.open(now=timezone.now()).filter(project=project),
        "invitation_form": InvitationForm(auto_id="invitation_%s"),
    }
