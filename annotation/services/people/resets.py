"""Links by which somebody who forgot their password sets a new one.

A link works once, for settings.PASSWORD_RESET_TIMEOUT seconds, and until the next sign-in, new password or
change of what the account may do: the token signs them all, so that nothing is stored.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.http import base36_to_int, int_to_base36

from annotation.access import Do, projects_where, roles_that
from annotation.models import Action, Assignment, Membership, Project, User
from annotation.models.people import IMPORTED
from annotation.services.actions import record_action
from annotation.services.people.rates import count_request, requests_in_minute

MAIL = """Somebody, you it may be, asked for a new password of the account {name}.
This link sets one. It works once:

{link}

If it was not you, there is nothing to do: the password stays as it is.
"""


class ResetLinkOver(Exception):
    """The link was used, has expired, or is not complete."""


class _Tokens(PasswordResetTokenGenerator):
    """Django's, which also end when the account's roles change: it may have come to reach further."""

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        roles = sorted(user.memberships.values_list("project", "role"))
        return f"{super()._make_hash_value(user, timestamp)} {user.is_staff} {user.is_superuser} {roles}"


_TOKENS = _Tokens()


def resettable_members(project: Project, *, by: User) -> QuerySet[User]:
    """Return the project's members for whom its admin may make a link.

    A link hands over an account, so a project's admin makes none for another admin, for a superuser or other
    staff of the site, or for somebody who works, or ever did, in projects of other admins, too: their answers
    there are the account's. Superusers make links for all but themselves.
    """
    people = User.objects.filter(memberships__project=project, is_active=True).exclude(pk=by.pk)
    if by.is_superuser:
        return people
    here = Q(project__in=projects_where(by, Do.ADMINISTER).values("pk"))
    person = OuterRef("pk")
    is_admin = Exists(Membership.objects.filter(user=person, role__in=roles_that(Do.ADMINISTER)))
    is_elsewhere = Exists(Membership.objects.filter(~here, user=person))
    worked_elsewhere = Exists(Assignment.objects.filter(~here, annotator=person))
    acted_elsewhere = Exists(Action.objects.filter(~here, actor=person, project__isnull=False))
    staff = Q(is_superuser=True) | Q(is_staff=True)
    return people.exclude(staff | is_admin | is_elsewhere | worked_elsewhere | acted_elsewhere)


@transaction.atomic
def make_reset_key(user: User, *, project: Project | None, by: User | None) -> str:
    """Return the secret part of a link for this account. Args: by: None for a command or a mail."""
    record_action(Action.Kind.RESET_LINK_MADE, project=project, by=by, subject=user)
    return reset_key(user)


def reset_key(user: User) -> str:
    return f"{int_to_base36(user.pk)}.{_TOKENS.make_token(user)}"


def user_of_reset_key(key: str) -> User:
    """Return whose password the link sets. Raises: ResetLinkOver."""
    ident, _, token = key.partition(".")
    try:
        user = User.objects.filter(pk=base36_to_int(ident), is_active=True).first()
    except (ValueError, OverflowError):
        user = None
    if user is None or not _TOKENS.check_token(user, token):
        raise ResetLinkOver
    return user


@transaction.atomic
def reset_password(*, key: str, password: str) -> User:
    """Set a new password by a link. All sessions of the user end. Raises: ResetLinkOver."""
    user = User.objects.select_for_update(no_key=True).get(pk=user_of_reset_key(key).pk)
    user_of_reset_key(key)  # of two that use it at once, the second comes here when the first is done
    user.set_password(password)
    user.save(update_fields=["password"])
    record_action(Action.Kind.PASSWORD_CHANGED, project=None, by=user, subject=user, by_link=True)
    return user


def mail_reset_link(*, user: User, link: str, now: datetime) -> None:
    """Send the user a link to their address, at most once a minute.

    A mail counts once the server took it.

    Args: link: with `KEY` in it, where the secret part goes.
    Raises: OSError: the server for mail did not take it.
    """
    if requests_in_minute(mail := f"reset mail {user.pk}", now=now):
        return
    key = make_reset_key(user, project=None, by=None)
    body = MAIL.format(name=user.username, link=link.replace("KEY", key))
    send_mail("A new password for Laurel", body, None, [user.email])
    count_request(mail, now=now)


def accounts_to_mail(address: str) -> QuerySet[User]:
    """Return the accounts whose confirmed address this is, and which sign in by password."""
    people = User.objects.filter(email__iexact=address, is_active=True).exclude(email="")
    return people.exclude(username__startswith=IMPORTED).exclude(password__startswith="!")
