"""How long the body of a request may be and who may send a long one, decided before any of it is read."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.handlers.wsgi import WSGIRequest
from django.db import close_old_connections
from django.urls import Resolver404, resolve
from django.utils.timezone import now

from annotation.services.people.tokens import use_token
from annotation.sessions import SessionStore


def usual_length() -> int:
    """Return how many bytes a body may have that is sent anywhere, by anybody."""
    length: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return length


def longest_body(path: str) -> int:
    """Return how many bytes a body may have that is sent to this path, decoded.

    Files go where a view says that it takes them (`annotation.bodies.takes_files`).
    """
    try:
        view = resolve(path).func
    except Resolver404:
        return usual_length()
    return max(usual_length(), getattr(view, "longest_body", 0))


def sender_is_known(environ: dict[str, Any]) -> bool:
    """Return whether whoever sends this has a session or a token, by the head of the request alone.

    Whether they may send it, the view says. Nothing is written, neither is the session renewed.
    """
    request = WSGIRequest({**environ, "wsgi.input": BytesIO()})
    session = SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    session.is_unattended = True
    if session.session_key and SESSION_KEY in session:
        return True
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and use_token(secret=secret.strip(), now=now()) is not None


def admits(environ: dict[str, Any]) -> bool:
    """Return the same outside of a request, before and after which Django drops connections that are lost."""
    close_old_connections()
    try:
        return sender_is_known(environ)
    finally:
        close_old_connections()
