"""Django's sessions and authentication, each with one prepared statement, as every request needs both."""

from __future__ import annotations

from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils import timezone

from annotation.models import User
from annotation.statements import Parameter, Statement

SESSION = Statement(
    lambda: Session.objects.filter(session_key=Parameter("key"), expire_date__gt=Parameter("now"))
)
PERSON = Statement(lambda: User.objects.filter(pk=Parameter("user")))


class SessionStore(db.SessionStore):
    """Sessions in the database, so that signing out takes effect everywhere at once."""

    def _get_session_from_db(self) -> Session | None:
        session = SESSION.first(key=self.session_key, now=timezone.now())
        if session is None:
            self._session_key = None
        return session


class People(ModelBackend):
    """The authentication backend."""

    def get_user(self, user_id: int) -> User | None:
        person = PERSON.first(user=user_id)
        return person if person and self.user_can_authenticate(person) else None
