"""Django's sessions and sign-ins, each read with one prepared statement: every request begins with both."""

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
    """In the database: whoever signs out, or is signed out, is so everywhere at once."""

    def _get_session_from_db(self) -> Session | None:
        session = SESSION.first(key=self.session_key, now=timezone.now())
        if session is None:
            self._session_key = None
        return session


class People(ModelBackend):
    """Who signs in, and who a session is of."""

    def get_user(self, user_id: int) -> User | None:
        person = PERSON.first(user=user_id)
        return person if person and self.user_can_authenticate(person) else None
