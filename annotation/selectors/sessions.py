"""A user's own sessions, as they would know them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.utils.crypto import constant_time_compare

from annotation.models import BrowserSession, User

# The first that occurs in a User-Agent decides: browsers also name those that they want to be taken for.
BROWSERS = {
    "Edg": "Edge",
    "OPR": "Opera",
    "SamsungBrowser": "Samsung Internet",
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
    "CriOS": "Chrome",
    "Chrome": "Chrome",
    "Safari": "Safari",
}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "CrOS": "ChromeOS",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


@dataclass(frozen=True)
class OwnSession:
    """A session; `ident` names it in addresses without giving its key away."""

    ident: str
    browser: str
    address: str
    began_at: datetime | None
    seen_at: datetime
    is_current: bool


def sessions_of(user: User, *, current: str | None, now: datetime) -> list[OwnSession]:
    """Return the user's sessions that are not over, last seen first. Args: current: the key of this one."""
    return [
        OwnSession(
            ident=ident_of(session),
            browser=browser_name(session.agent),
            address=session.address,
            began_at=session.began_at,
            seen_at=session.seen_at,
            is_current=session.session_key == current,
        )
        for session in open_sessions(user, now=now)
    ]


def open_sessions(user: User, *, now: datetime) -> list[BrowserSession]:
    """Return the sessions that are neither over nor made void by a new password or `sessions_version`.

    As at a request of theirs, a session begun under an earlier SECRET_KEY counts while that is a fallback.
    """
    rows = user.sessions.filter(expire_date__gt=now, seen_at__gt=now - settings.SESSION_IDLE)
    valid = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return [
        session
        for session in rows.order_by("-seen_at", "session_key")
        if _is_one_of(session.get_decoded().get(HASH_SESSION_KEY, ""), valid)
    ]


def _is_one_of(value: str, valid: list[str]) -> bool:
    return any(constant_time_compare(value, each) for each in valid)


def ident_of(session: BrowserSession) -> str:
    return hashlib.sha256(session.session_key.encode()).hexdigest()[:16]


def browser_name(agent: str) -> str:
    """Return a User-Agent as people name it: "Firefox on Linux"; its product where it is none of these."""
    product = re.split(r"[/ ]", agent, maxsplit=1)[0]
    browser = next((name for mark, name in BROWSERS.items() if mark in agent), product or "Unknown browser")
    system = next((name for mark, name in SYSTEMS.items() if mark in agent), "")
    return f"{browser} on {system}" if system else browser
