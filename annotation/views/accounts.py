"""Signing in, and the user's own account: password, sessions, tokens."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.views import redirect_to_login
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotation.access import MemberRequest, member_required
from annotation.addresses import client_address
from annotation.forms.accounts import ChangePasswordForm, SignInForm, TokenForm
from annotation.models import User
from annotation.selectors.sessions import sessions_of
from annotation.services.people.accounts import change_password, sign_out_everywhere, verify_password
from annotation.services.people.attempts import TooManyAttempts, cookie_name, device_cookie, device_of
from annotation.services.people.sessions import SessionOver, end_session
from annotation.services.people.tokens import issue_token, revoke_token
from annotation.sessions import begin_session

SIGN_IN = "annotation/people/sign_in.html"
ACCOUNT = "annotation/people/account.html"
PASSWORD = "annotation/people/password.html"
SIGNED_IN = "signed in"  # the device that all of a person's sessions count as
DEVICE_COOKIE_AGE = 60 * 60 * 24 * 365


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_post_parameters("password")
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in by name and password. Unknown names get the same response as wrong passwords."""
    onward = _onward(request)
    if request.user.is_authenticated:
        return HttpResponseRedirect(onward)
    context: dict[str, object] = {
        "next": request.POST.get("next", request.GET.get("next", "")),
        "sends_email": settings.SENDS_EMAIL,
        **_ways(),
    }
    if request.method != "POST":
        return render(request, SIGN_IN, {**context, "form": SignInForm()})
    form = SignInForm(request.POST)
    context["form"] = form
    if not form.is_valid():
        return render(request, SIGN_IN, context, status=422)
    name, now = form.cleaned_data["username"], timezone.now()
    try:
        user = verify_password(
            name=name,
            password=form.cleaned_data["password"],
            address=client_address(request),
            device=device_of(request.COOKIES.get(cookie_name(name), ""), name=name),
            now=now,
        )
    except TooManyAttempts as error:
        return wait(request, SIGN_IN, context, error, now)
    if user is None:
        return render(request, SIGN_IN, {**context, "is_wrong": True}, status=422)
    return welcome(request, user, onward)


@require_safe
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Redirect to our own sign-in, which counts attempts. Users signed in already may not see the admin."""
    if request.user.is_authenticated:
        raise Http404
    return redirect_to_login(request.GET.get("next", resolve_url("admin:index")))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("sign-in")


@require_safe
@never_cache
@member_required
def account(request: MemberRequest) -> HttpResponse:
    return render(request, ACCOUNT, _account(request, TokenForm(user=request.user)))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_post_parameters()
@member_required
def password(request: MemberRequest) -> HttpResponse:
    """Change the password. This browser stays signed in; all others are signed out."""
    if request.method != "POST":
        return render(request, PASSWORD, {"form": ChangePasswordForm(request.user)})
    form = ChangePasswordForm(request.user, request.POST)
    if not form.is_valid():
        return render(request, PASSWORD, {"form": form}, status=422)
    if refusal := refuse_wrong_password(request, PASSWORD, form, field="old_password"):
        return refusal
    change_password(user=request.user, password=form.cleaned_data["new_password1"])
    update_session_auth_hash(request, request.user)
    messages.success(request, "Password changed. Other browsers were signed out.")
    return know_device(redirect("account"), request.user)


@require_POST
@member_required
def sign_out_all(request: MemberRequest) -> HttpResponse:
    """End all sessions, including this one."""
    sign_out_everywhere(request.user)
    logout(request)
    messages.success(request, "You are signed out everywhere.")
    return redirect("sign-in")


@require_POST
@member_required
def end_own_session(request: MemberRequest, ident: str) -> HttpResponse:
    """End a session at another browser, or this one."""
    is_current = False
    try:
        session = end_session(user=request.user, ident=ident, now=timezone.now())
    except SessionOver:
        messages.info(request, "This session was over already.")
    else:
        is_current = session.session_key == request.session.session_key
        messages.success(request, "Signed out there." if not is_current else "You are signed out.")
    if is_current:
        logout(request)
    return redirect("sign-in" if is_current else "account")


@require_POST
@never_cache
@sensitive_variables("secret")
@member_required
def add_token(request: MemberRequest) -> HttpResponse:
    """Create a token. Its secret is shown only in this response."""
    form = TokenForm(request.POST, user=request.user)
    if not form.is_valid():
        return render(request, ACCOUNT, _account(request, form), status=422)
    token, secret = issue_token(user=request.user, by=request.user, now=timezone.now(), **form.cleaned_data)
    return render(
        request, ACCOUNT, {**_account(request, TokenForm(user=request.user)), "made": token, "secret": secret}
    )


@require_POST
@member_required
def remove_token(request: MemberRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(request.user.api_tokens, pk=pk)
    revoke_token(token)
    messages.success(request, f"Token {token.name} was revoked.")
    return redirect("account")


def welcome(request: HttpRequest, user: User, onward: str) -> HttpResponse:
    """Begin a session and go on, where second factors are on by way of what else is asked of the user."""
    if settings.SECOND_FACTORS:
        from allauth.account.internal.flows.login import perform_password_login
        from allauth.account.models import Login

        login = Login(user=user, redirect_url=onward)
        response: HttpResponse = perform_password_login(request, {"username": user.username}, login)
        return response
    begin_session(request, user, address=client_address(request))
    return know_device(HttpResponseRedirect(onward), user)


def know_device(response: HttpResponse, user: User) -> HttpResponse:
    """Let this browser be counted apart at sign-in: whoever is at it has shown that the account is theirs."""
    name, value = device_cookie(user)
    response.set_cookie(
        name,
        value,
        max_age=DEVICE_COOKIE_AGE,
        path=resolve_url("sign-in"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def _ways() -> dict[str, object]:
    """Return what pages need to know of more ways to sign in."""
    return {
        "issuer": settings.OIDC_ISSUER,
        "has_factors": bool(settings.SECOND_FACTORS),
        "has_passkeys": "passkeys" in settings.SECOND_FACTORS,
    }


def _onward(request: HttpRequest) -> str:
    """Return the requested page if it is a path on this host, else home."""
    url = request.POST.get("next", request.GET.get("next", ""))
    is_here = url_has_allowed_host_and_scheme(url, None) and url.startswith("/")
    return url if is_here else resolve_url("home")


def _account(request: MemberRequest, form: TokenForm) -> dict[str, object]:
    now = timezone.now()
    return {
        "tokens": request.user.api_tokens.select_related("project"),
        "sessions": sessions_of(request.user, current=request.session.session_key, now=now),
        "form": form,
        "now": now,
        "is_linked": bool(settings.OIDC_ISSUER) and request.user.socialaccount_set.exists(),  # type: ignore[attr-defined]  # of an app that may be off
        **_ways(),
        "sends_email": settings.SENDS_EMAIL,
    }


def refuse_wrong_password(
    request: MemberRequest, template: str, form: Form, *, field: str = "password"
) -> HttpResponse | None:
    """Check the user's own password, as a valid form has it.

    Returns: the page once more where it is not right, or not checked now; None where it is right.
    """
    now = timezone.now()
    try:
        user = verify_password(
            name=request.user.username,
            password=form.cleaned_data[field],
            address=client_address(request),
            device=SIGNED_IN,
            now=now,
        )
    except TooManyAttempts as error:
        return wait(request, template, {"form": form}, error, now)
    if user is None:
        form.add_error(field, "This is not your password.")
        return render(request, template, {"form": form}, status=422)
    return None


def wait(
    request: HttpRequest, template: str, context: dict[str, object], error: TooManyAttempts, now: datetime
) -> HttpResponse:
    """Refuse an attempt, with the time to wait."""
    seconds = max(1, round((error.until - now).total_seconds()))
    response = render(request, template, {**context, "wait": seconds}, status=429)
    response.headers["Retry-After"] = str(seconds)
    return response
