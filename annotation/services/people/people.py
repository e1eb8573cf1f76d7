"""Accounts."""

from __future__ import annotations

import secrets

from django.db import IntegrityError, transaction

from annotation.models import Action, Project, User
from annotation.services.actions import record_action


class NameTaken(Exception):
    """There is an account of this name."""


def create_account(*, username: str, project: Project, by: User) -> tuple[User, str]:
    """Make an account with a random password. Args: project: where it was asked for.

    Returns: the account and its password, which is stored only as a hash. Raises: NameTaken.
    """
    password = secrets.token_urlsafe(12)
    try:
        with transaction.atomic():
            user = User.objects.create_user(username, password=password)
            record_action(Action.Kind.ACCOUNT_MADE, project=project, by=by, subject=user)
            return user, password
    except IntegrityError as error:
        raise NameTaken(username) from error
