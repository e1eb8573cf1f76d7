"""Django's sessions and sign-ins, each read with one prepared statement: every request begins with both."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends import db
from django.utils import timezone

from annotation.models import User
from annotation.statements import columns, fetch_one, made_of

SESSION = """
    SELECT session_data FROM django_session WHERE session_key = %(key)s AND expire_date > %(now)s
"""
PERSON = f"SELECT {columns(User, 'person')} FROM annotation_user AS person WHERE person.id = %(user)s"


class SessionStore(db.SessionStore):
    """In the database: whoever signs out, or is signed out, is so everywhere at once."""

    def load(self) -> dict[str, Any]:
        row = fetch_one(SESSION, {"key": self.session_key, "now": timezone.now()})
        if row is None:
            self._session_key = None
            return {}
        return dict(self.decode(row[0]))


class People(ModelBackend):
    """Who signs in, and who a session is of."""

    def get_user(self, user_id: int) -> User | None:
        row = fetch_one(PERSON, {"user": user_id})
        person = made_of(User, row)[0] if row else None
        return person if person and self.user_can_authenticate(person) else None
