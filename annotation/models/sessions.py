"""Sessions: who is signed in at which browser."""

from __future__ import annotations

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models

from annotation.models.people import User

AGENT_LENGTH = 300


class BrowserSession(AbstractBaseSession):
    """A session at one browser, with what its owner knows it by.

    The columns repeat what `session_data` says, so that they can be asked for.
    """

    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="sessions")  # null: of a stranger
    agent = models.CharField(max_length=AGENT_LENGTH, blank=True)
    address = models.CharField(max_length=45, blank=True)
    began_at = models.DateTimeField(null=True)  # null: at a time not known
    seen_at = models.DateTimeField()  # to within settings.SESSION_SEEN_EVERY

    @classmethod
    def get_session_store_class(cls) -> type:
        from annotation.sessions import SessionStore  # which imports this

        return SessionStore
