"""A form that is sent without a session waits for its user, who sends it after signing in again."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from annotation.models import UnsentForm, User
from annotation.services.people.unsent_forms import MARK, forget_form, is_secret, keep_form, user_of_mark

CSRF = "csrfmiddlewaretoken"
SENT = "unsent_form"  # names, in a form sent at last, what it was kept as


def keep_unsent_forms(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Keep a posted form whose answer is the sign-in page, and come back to it from there: a middleware.

    Without it, signing in leads to an address that only takes forms.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.method != "POST" or request.path_info.startswith("/api/"):
            return response
        if _asks_to_sign_in(request, response):
            form = keep_posted(request)
            return redirect_to_login(reverse("unsent-form", args=[form.token]) if form else _page_of(request))
        sent = request.POST.get(SENT)
        if sent and response.status_code < 400 and isinstance(request.user, User):
            forget_form(user=request.user, token=sent)
        return response

    return middleware


def keep_posted(request: HttpRequest) -> UnsentForm | None:
    """Keep the form of the request.

    Returns: None unless the form says, signed, to whom it was shown; also for one of secrets alone, which
    are not kept.
    """
    user = user_of_mark(request.POST.get(MARK, ""))
    if user is None:
        return None
    names = [name for name in request.POST if name not in (MARK, SENT, CSRF)]
    if names and all(map(is_secret, names)):
        return None
    return keep_form(
        user=user,
        address=request.get_full_path(),
        fields=[
            (name, value) for name in names for value in request.POST.getlist(name) if not is_secret(name)
        ],
        files=[(name, file.name or "") for name, files in request.FILES.lists() for file in files],
        now=timezone.now(),
    )


def _asks_to_sign_in(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Return whether a page's answer is to sign in and come back to its own address."""
    if not isinstance(response, HttpResponseRedirect):
        return False
    return response.url == redirect_to_login(request.get_full_path()).url


def _page_of(request: HttpRequest) -> str:
    """Return the page that the form was on, as the browser names it, else home."""
    try:
        page = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return resolve_url("home")
    is_ours = page.netloc == request.get_host() and url_has_allowed_host_and_scheme(page.path, None)
    return page.path if is_ours and page.path.startswith("/") else resolve_url("home")
