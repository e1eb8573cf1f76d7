"""Ending a session at another browser."""

from __future__ import annotations

from datetime import datetime

from annotation.models import BrowserSession, User
from annotation.selectors.sessions import ident_of, open_sessions


class SessionOver(Exception):
    """The user has no such session, or no longer."""


def end_session(*, user: User, ident: str, now: datetime) -> BrowserSession:
    """End one of the user's sessions: that browser is signed out at its next request. Raises: SessionOver."""
    session = next((row for row in open_sessions(user, now=now) if ident_of(row) == ident), None)
    if session is None:
        raise SessionOver
    BrowserSession.objects.filter(session_key=session.session_key).delete()
    return session
