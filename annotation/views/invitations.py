"""Invitations: admins make links, people join by them."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import login
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from annotation.access import MemberRequest, admin_required
from annotation.forms.accounts import InvitationForm, JoiningForm
from annotation.forms.projects import MemberForm
from annotation.models import Project
from annotation.services.people.invitations import (
    AlreadyMember,
    InvitationOver,
    invite,
    join,
    open_invitation,
    revoke,
)
from annotation.views.people import PEOPLE, people_context

JOIN = "annotation/people/join.html"


@require_POST
@never_cache
@admin_required
def add_invitation(request: MemberRequest, project: Project) -> HttpResponse:
    """Make a link. It is on this answer only, and never stored in clear."""
    form, now = InvitationForm(request.POST, auto_id="invitation_%s"), timezone.now()
    if not form.is_valid():
        context = people_context(project, MemberForm()) | {"invitation_form": form}
        return render(request, PEOPLE, context, status=422)
    role, uses = form.cleaned_data["role"], form.cleaned_data["uses"]
    invitation, token = invite(
        project=project, role=role, uses=uses, expires_at=form.expires_at(now), by=request.user, now=now
    )
    link = request.build_absolute_uri(reverse("join", args=[token]))
    context = people_context(project, MemberForm()) | {"invited": invitation, "link": link}
    return render(request, PEOPLE, context)


@require_POST
@admin_required
def revoke_invitation(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Let nobody in by this link any more."""
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
@sensitive_post_parameters("password1", "password2")
def join_project(request: HttpRequest, token: str) -> HttpResponse:
    """Follow a link: with one's account, or with one made here."""
    try:
        invitation = open_invitation(token=token, now=timezone.now())
        if request.user.is_authenticated:
            form = None
            if request.method == "POST":
                join(token=token, user=request.user, now=timezone.now())
                return redirect("home")
        else:
            form = JoiningForm(request.POST if request.method == "POST" else None)
            if form.is_valid():
                with transaction.atomic():  # no account is left behind where the last place is gone
                    user = form.save()
                    join(token=token, user=user, now=timezone.now())
                login(request, user)
                return redirect("home")
    except InvitationOver:
        return render(request, JOIN, {"is_over": True}, status=404)
    except AlreadyMember:
        return render(request, JOIN, {"is_member": True, "invitation": invitation}, status=409)
    context = {"invitation": invitation, "form": form}
    return render(request, JOIN, context, status=422 if form and form.errors else 200)
