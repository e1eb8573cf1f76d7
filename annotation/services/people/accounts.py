"""Accounts: creating them, and signing in by password with limits on attempts.

Attempts are counted here, in the database, and not by django-axes: it counts after the password is checked,
so that a burst of requests gets past its limit, and it relies on signals. This counts before, in one
transaction.
"""

from __future__ import annotations

import secrets
import unicodedata
from datetime import datetime, timedelta

from django.contrib.auth import authenticate
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils.crypto import salted_hmac

from annotation.models import Action, Project, SignInAttempt, User
from annotation.services.actions import record_action

WINDOW = timedelta(minutes=15)
# Wrong passwords within the window. An office shares one address, so its limit is higher.
MOST_FOR_ACCOUNT_FROM_ADDRESS = 5
MOST_FOR_ACCOUNT = 50
MOST_FOR_ADDRESS = 50


class NameTaken(Exception):
    """An account of this name exists."""


class TooManyAttempts(Exception):
    """No password is checked before `until`, not even the right one, nor for names that do not exist."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"no attempt before {until}")
        self.until = until


def create_account(*, username: str, project: Project, by: User) -> tuple[User, str]:
    """Create an account with a random password. Args: project: the project whose admin requested it.

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


def verify_password(*, name: str, password: str, address: str, now: datetime) -> User | None:
    """Return the account of that name if the password is right, or None.

    A wrong password counts against both name and address.

    Args: address: where the request came from, see `views.accounts.client_address`.
    Raises: TooManyAttempts.
    """
    attempt = _begin(account=_digest(name), address=address, now=now)
    user = authenticate(username=name, password=password)
    if not isinstance(user, User):
        return None
    SignInAttempt.objects.filter(account=attempt.account, address=address).delete()
    return user


@transaction.atomic
def change_password(*, user: User, password: str) -> None:
    """Set a new password. All sessions of the user end, except one that the caller renews."""
    user.set_password(password)
    user.save(update_fields=["password"])
    record_action(Action.Kind.PASSWORD_CHANGED, project=None, by=user, subject=user)


def sign_out_everywhere(user: User) -> None:
    """End all sessions of the user. Tokens stay valid; they are revoked one by one."""
    User.objects.filter(pk=user.pk).update(sessions_version=F("sessions_version") + 1)


@transaction.atomic
def _begin(*, account: str, address: str, now: datetime) -> SignInAttempt:
    """Count the attempt before the password is checked: concurrent ones cannot exceed the limits."""
    _lock(f"address {address}")
    _lock(f"account {account}")
    SignInAttempt.objects.filter(at__lte=now - WINDOW).delete()
    for limit, scope in (
        (MOST_FOR_ACCOUNT_FROM_ADDRESS, {"account": account, "address": address}),
        (MOST_FOR_ACCOUNT, {"account": account}),
        (MOST_FOR_ADDRESS, {"address": address}),
    ):
        attempts = SignInAttempt.objects.filter(**scope).order_by("-at").values_list("at", flat=True)
        newest = list(attempts[:limit])
        if len(newest) == limit:
            raise TooManyAttempts(newest[-1] + WINDOW)
    return SignInAttempt.objects.create(account=account, address=address, at=now)


def _lock(name: str) -> None:
    """Hold an advisory lock on the name until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"sign-in {name}"])


def _digest(name: str) -> str:
    """Return the digest of the account name, the same for all spellings of it."""
    spelling = unicodedata.normalize("NFKC", name).strip().casefold()
    return salted_hmac("annotation.sign-in", spelling, algorithm="sha256").hexdigest()
