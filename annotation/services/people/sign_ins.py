"""Who signed in and out, and who tried to, in the log.

Django's own signals tell of every way in, also of those of other packages: nothing else here uses signals.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from annotation.addresses import client_address
from annotation.models import Action, User
from annotation.services.actions import record_action


def record_failure(*, name: str, address: str) -> None:
    """Log that a password was wrong. A name that no account has may be a password: it is left out."""
    user = User.objects.filter(username=name).first()
    record_action(
        Action.Kind.SIGN_IN_FAILED, project=None, by=None, subject=user or "an unknown name", address=address
    )


def _record_sign_in(request: HttpRequest | None, user: User, **signal: Any) -> None:
    _record(Action.Kind.SIGNED_IN, request, user)


def _record_sign_out(request: HttpRequest | None, user: User | None, **signal: Any) -> None:
    if user is not None:  # a session that had ended already
        _record(Action.Kind.SIGNED_OUT, request, user)


def _record(kind: Action.Kind, request: HttpRequest | None, user: User) -> None:
    """Without an address it came over no network: a shell's."""
    address = client_address(request) if request is not None and "REMOTE_ADDR" in request.META else ""
    if address:
        record_action(kind, project=None, by=user, subject=user, address=address)


user_logged_in.connect(_record_sign_in, dispatch_uid="annotation.sign_in")
user_logged_out.connect(_record_sign_out, dispatch_uid="annotation.sign_out")
