"""Looking up the person of a command line."""

from __future__ import annotations

from django.core.management.base import CommandError

from annotation.models import User


def find_user(username: str) -> User:
    """Return the active account. Raises: CommandError saying how one is made."""
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise CommandError(f"no account {username!r}; add_member --new-account and createsuperuser make one")
    return user
