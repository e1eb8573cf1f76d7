"""The address that links for a new password may go to, and the mail that confirms it."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from annotation.access import MemberRequest, member_required
from annotation.forms.accounts import AddressForm
from annotation.services.people.email_addresses import (
    ConfirmationOver,
    address_in,
    change_address,
    is_confirmation_withheld,
)
from annotation.services.people.mails import request_confirmation
from annotation.tasks import wake_mails
from annotation.views.accounts import refuse_wrong_password

ADDRESS = "annotation/people/address.html"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_post_parameters("password")
@member_required
def address(request: MemberRequest) -> HttpResponse:
    """Give the address to which links may go: it is the user's once a mail to it was answered."""
    if not settings.SENDS_EMAIL:
        raise Http404
    form = AddressForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(request, ADDRESS, {"form": form}, status=422 if form.errors else 200)
    if refusal := refuse_wrong_password(request, ADDRESS, form):
        return refusal
    if is_confirmation_withheld(form.cleaned_data["email"], now=timezone.now()):
        return render(request, ADDRESS, {"form": form, "is_too_much": True}, status=429)
    link = request.build_absolute_uri(reverse("confirm-address", args=["KEY"]))
    request_confirmation(user=request.user, address=form.cleaned_data["email"], link=link, now=timezone.now())
    wake_mails()
    return render(request, ADDRESS, {"sent_to": form.cleaned_data["email"]})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@member_required
def confirm_address(request: MemberRequest, key: str) -> HttpResponse:
    """Confirm the address that a mail went to."""
    try:
        email = address_in(key, user=request.user)
    except ConfirmationOver:
        return render(request, ADDRESS, {"is_over": True}, status=404)
    if request.method != "POST":
        return render(request, ADDRESS, {"confirms": email})
    change_address(user=request.user, address=email)
    messages.success(request, f"{email} is your address now.")
    return redirect(resolve_url("account"))
