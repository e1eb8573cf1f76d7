"""What was filled in before the session ended, to be sent after signing in again."""

from __future__ import annotations

import re
from uuid import UUID

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest, member_required
from annotation.unsent_forms import SENT, keep_posted

HIDDEN = {"version", "claim", "by", "step", "at"}  # fields that nobody typed
UNSENT = "annotation/people/unsent_form.html"


@require_safe
@never_cache
@member_required
def unsent_form(request: MemberRequest, token: UUID) -> HttpResponse:
    """Show what the user filled in, ready to be sent."""
    form = get_object_or_404(request.user.unsent_forms, token=token)
    typed = [
        (re.sub(r"[_-]+", " ", name).capitalize(), value)
        for name, value in form.fields
        if value.strip() and name not in HIDDEN
    ]
    return render(request, UNSENT, {"form": form, "typed": typed, "sent_as": SENT})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Keep a form whose CSRF token is of an earlier session; whoever it was shown to may send it again.

    Args: reason: Django's, for its log.
    """
    has_cookies = settings.CSRF_COOKIE_NAME in request.COOKIES
    if request.path == reverse("sign-in") and has_cookies:  # somebody signed in in another tab meanwhile
        return redirect_to_login(request.POST.get("next", ""))
    form = None if getattr(request, "htmx", False) else keep_posted(request)  # a script's page stays
    if form is None:
        return render(request, "403_csrf.html", {"has_cookies": has_cookies}, status=403)
    page = reverse("unsent-form", args=[form.token])
    if not request.user.is_authenticated:
        return redirect_to_login(page)
    if form.user != request.user:
        return render(request, "annotation/people/other_user.html", status=409)
    return redirect(page)
