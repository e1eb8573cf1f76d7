"""Accounts."""

from __future__ import annotations

import secrets

from django.db import IntegrityError, transaction

from annotation.models import User


class NameTaken(Exception):
    """There is an account of this name."""


def create_account(*, username: str) -> tuple[User, str]:
    """Make an account with a random password.

    Returns: the account and its password, which is stored only as a hash. Raises: NameTaken.
    """
    password = secrets.token_urlsafe(12)
    try:
        with transaction.atomic():
            return User.objects.create_user(username, password=password), password
    except IntegrityError as error:
        raise NameTaken(username) from error
