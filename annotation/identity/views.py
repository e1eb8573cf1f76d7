"""The pages that allauth has for passwords, in our look and with our limits; linking an identity."""

from __future__ import annotations

from allauth.account.internal.flows.reauthentication import reauthenticate_by_password, resume_request
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from annotation.access import MemberRequest, member_required
from annotation.forms.accounts import ConfirmForm
from annotation.views.accounts import refuse_wrong_password

CONFIRM = "annotation/people/confirm.html"
CONNECTING = "connecting"  # in a session: its owner asked to link an identity


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_post_parameters("password")
@member_required
def confirm(request: MemberRequest) -> HttpResponse:
    """Ask for the password again, before second factors are changed."""
    form = ConfirmForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(request, CONFIRM, {"form": form}, status=422 if form.errors else 200)
    if refusal := refuse_wrong_password(request, CONFIRM, form):
        return refusal
    reauthenticate_by_password(request)
    return resume_request(request) or redirect("account")


@require_POST
@member_required
def connect(request: MemberRequest) -> HttpResponse:
    """Ask to go on to the issuer, whose identity will then open this account."""
    request.session[CONNECTING] = True
    return render(request, "annotation/people/connect.html", {"issuer": settings.OIDC_ISSUER})


@require_POST
@member_required
def disconnect(request: MemberRequest) -> HttpResponse:
    """Unlink the identity; never the only way into the account."""
    if request.user.has_usable_password():
        assert settings.OIDC_ISSUER is not None
        request.user.socialaccount_set.all().delete()  # type: ignore[attr-defined]  # of an app that may be off
        messages.success(request, f"{settings.OIDC_ISSUER.name} opens this account no more.")
    else:
        messages.error(request, "It is the only way into your account. Set a password first.")
    return redirect("account")
