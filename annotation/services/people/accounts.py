"""Accounts: creating them, and signing in by password."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.contrib.auth import authenticate
from django.db import IntegrityError, transaction
from django.db.models import F

from annotation.models import Action, Project, User
from annotation.names import skeleton
from annotation.services.actions import record_action
from annotation.services.people.attempts import begin_attempt, forgive_attempts
from annotation.services.people.sign_ins import record_failure

DIGITS = range(3, 10)  # of the number in a proposed name
DRAWN = 100  # numbers that are looked up at once
_RANDOM = secrets.SystemRandom()


class NameTaken(Exception):
    """There is an account of this name, or of one that looks like it."""


def create_account(*, username: str, project: Project, by: User | None) -> tuple[User, str]:
    """Create an account with a random password.

    Args: project: the project whose admin requested it; by: None for a command.

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


def open_account(*, username: str, password: str) -> User:
    """Create the account of somebody who joins, with the password that they chose. Raises: NameTaken."""
    try:
        with transaction.atomic():
            return User.objects.create_user(username, password=password)
    except IntegrityError as error:
        raise NameTaken(username) from error


def propose_name(wish: str) -> str:
    """Return a free user name made of the wish and a number, always: it tells nobody which names exist.

    The number has three digits, or more where names with three are hardly to be had; a long wish is cut.
    Raises: NameTaken, where no draw was free.
    """
    longest = User._meta.get_field("username").max_length or 0
    for digits in DIGITS:
        numbers = _RANDOM.sample(range(10 ** (digits - 1), 10**digits), DRAWN)
        names = {skeleton(name): name for name in (f"{wish[: longest - digits - 1]}-{n}" for n in numbers)}
        taken = set(User.objects.filter(skeleton__in=names).values_list("skeleton", flat=True))
        if free := names.keys() - taken:
            return names[_RANDOM.choice(sorted(free))]
    raise NameTaken(wish)


def verify_password(
    *, name: str, password: str, address: str, now: datetime, device: str = ""
) -> User | None:
    """Return the account of that name if the password is right, or None.

    A wrong password counts against name and address, or against the device alone where it is known.

    Args:
        address: where the request came from, see `addresses.client_address`.
        device: of a browser that signed in to this account before, see `attempts.device_of`.
    Raises: TooManyAttempts.
    """
    attempt = begin_attempt(name=name, address=address, device=device, now=now)
    user = authenticate(username=name, password=password)
    if not isinstance(user, User):
        record_failure(name=name, address=address)
        return None
    forgive_attempts(attempt)
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
