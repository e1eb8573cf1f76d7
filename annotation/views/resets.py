"""A new password for somebody who forgot theirs, by a link: of an admin's, or mailed to their address."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from annotation.access import MemberRequest, admin_required
from annotation.addresses import client_address
from annotation.forms.accounts import ForgottenForm, ResetForm
from annotation.models import Project
from annotation.services.people.mails import request_reset_mails
from annotation.services.people.rates import count_request
from annotation.services.people.resets import (
    ResetLinkOver,
    make_reset_key,
    reset_password,
    resettable_members,
    user_of_reset_key,
)
from annotation.tasks import wake_mails
from annotation.views.accounts import know_device
from annotation.views.people import show_people

RESET = "annotation/people/reset.html"
FORGOTTEN = "annotation/people/forgotten.html"
MAILS_A_MINUTE = 5  # that one address on the network may ask for


@require_POST
@never_cache
@sensitive_variables("key")
@admin_required
def make_reset_link(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Make a link by which a member sets a new password. It is shown only in this response."""
    user = get_object_or_404(resettable_members(project, by=request.user), pk=pk)
    key = make_reset_key(user, project=project, by=request.user)
    link = request.build_absolute_uri(reverse("reset-password", args=[key]))
    return show_people(request, project, {"reset_of": user, "reset_link": link})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_post_parameters()
@sensitive_variables("key")
def reset(request: HttpRequest, key: str) -> HttpResponse:
    """Set a new password by a link. The person then signs in with it, and with what else is asked of them."""
    try:
        user = user_of_reset_key(key)
        form = ResetForm(user, request.POST if request.method == "POST" else None)
        if form.is_valid():
            user = reset_password(key=key, password=form.cleaned_data["new_password1"])
            messages.success(request, "Password changed. Sign in with it.")
            return know_device(redirect("sign-in"), user)
    except ResetLinkOver:
        return render(request, RESET, {"is_over": True}, status=404)
    return render(request, RESET, {"form": form, "name": user.username}, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def forgotten(request: HttpRequest) -> HttpResponse:
    """Ask for a link by mail. A worker looks for the account: the answer and its time tell nothing of it."""
    if not settings.SENDS_EMAIL:
        raise Http404
    form = ForgottenForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(request, FORGOTTEN, {"form": form}, status=422 if form.errors else 200)
    if count_request(f"mails {client_address(request)}", now=timezone.now()) > MAILS_A_MINUTE:
        return render(request, FORGOTTEN, {"form": form, "is_too_much": True}, status=429)
    link = request.build_absolute_uri(reverse("reset-password", args=["KEY"]))
    request_reset_mails(address=form.cleaned_data["email"], link=link, now=timezone.now())
    wake_mails()
    return render(request, FORGOTTEN, {"sent_to": form.cleaned_data["email"]})
