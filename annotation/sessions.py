"""Django's sessions and authentication, with one prepared statement for both, as every request needs them."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user, login
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends import db
from django.contrib.sessions.middleware import SessionMiddleware
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from annotation.models import BrowserSession, User
from annotation.models.sessions import AGENT_LENGTH
from annotation.statements import Parameter, Statement

BROWSER = "browser"  # the key of what is known of the browser, in a session's data

SESSION = Statement(
    lambda: BrowserSession.objects.filter(
        session_key=Parameter("key"), expire_date__gt=Parameter("now"), seen_at__gt=Parameter("idle_since")
    ).select_related("user")
)
PERSON = Statement(lambda: User.objects.filter(pk=Parameter("user")))


class SessionStore(db.SessionStore):
    """Sessions in the database, so that signing out takes effect everywhere at once; they end when idle.

    Attributes:
        is_unattended: the page asked by itself, so that nobody was seen.
        person: whose session it was when it was read; None of a stranger's and of a new one.
    """

    is_unattended = False
    person: User | None = None

    @classmethod
    def get_model_class(cls) -> type[BrowserSession]:
        return BrowserSession

    def _get_session_from_db(self) -> BrowserSession | None:
        now = timezone.now()
        session = SESSION.first(key=self.session_key, now=now, idle_since=now - settings.SESSION_IDLE)
        if session is None:
            self._session_key = None
        elif not self.is_unattended and now - session.seen_at > settings.SESSION_SEEN_EVERY:
            BrowserSession.objects.filter(pk=session.pk).update(seen_at=now)
        self.person = session.user if session else None
        return session

    def create_model_instance(self, data: dict[str, Any]) -> BrowserSession:
        session = super().create_model_instance(data)
        assert isinstance(session, BrowserSession)
        session.user_id = data.get(SESSION_KEY)
        session.seen_at = timezone.now()
        if browser := data.get(BROWSER):
            session.agent, session.address = browser["agent"], browser["address"]
            session.began_at = datetime.fromtimestamp(browser["began"], UTC)
        return session


class Sessions(SessionMiddleware):
    """Django's, which also notices what a page asks for by itself: static/js/requests.js says so."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.session.is_unattended = "HTTP_X_UNATTENDED" in request.META  # type: ignore[attr-defined]


# Whose session Django's `get_user`, which names an id alone, asks about at the moment.
_signed_in: ContextVar[User | None] = ContextVar("signed_in", default=None)


class People(ModelBackend):
    """The authentication backend."""

    def get_user(self, user_id: int) -> User | None:
        person = _signed_in.get()
        if person is None or person.pk != user_id:
            person = PERSON.first(user=user_id)
        return person if person and self.user_can_authenticate(person) else None


class Authentication(AuthenticationMiddleware):
    """Django's, which takes the person who was read with the session."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(partial(_user_of, request))  # type: ignore[assignment]


def _user_of(request: HttpRequest) -> AbstractBaseUser | AnonymousUser:
    session = request.session
    session.get(SESSION_KEY)  # read by now, with its person
    token = _signed_in.set(getattr(session, "person", None))
    try:
        return get_user(request)
    finally:
        _signed_in.reset(token)


def begin_session(request: HttpRequest, user: User, *, address: str) -> None:
    """Sign the user in at this browser. Their sessions that are over are deleted."""
    now = timezone.now()
    over = Q(expire_date__lte=now) | Q(seen_at__lte=now - settings.SESSION_IDLE)
    BrowserSession.objects.filter(over, user=user).delete()
    login(request, user, backend=f"{People.__module__}.{People.__qualname__}")
    agent = request.headers.get("User-Agent", "").replace("\0", "")[:AGENT_LENGTH]
    request.session[BROWSER] = {"agent": agent, "address": address, "began": now.timestamp()}
