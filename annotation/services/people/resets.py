"""Links by which somebody who forgot their password sets a new one.

A link works once, for settings.PASSWORD_RESET_TIMEOUT seconds, and until the next sign-in or new password:
Django's token generator signs all three, so that nothing is stored.
"""

from __future__ import annotations

from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.db.models import QuerySet
from django.utils.http import base36_to_int, int_to_base36

from annotation.access import Do, projects_where, roles_that
from annotation.models import Action, Membership, Project, User
from annotation.models.people import IMPORTED
from annotation.services.actions import record_action


class ResetLinkOver(Exception):
    """The link was used, has expired, or is not complete."""


def resettable_members(project: Project, *, by: User) -> QuerySet[User]:
    """Return the project's members for whom its admin may make a link.

    A link hands over an account, so a project's admin makes none for another admin, for a superuser, or for
    somebody who works in projects of other admins, too. Superusers make links for all but themselves.
    """
    people = User.objects.filter(memberships__project=project, is_active=True).exclude(pk=by.pk)
    if by.is_superuser:
        return people
    admins = Membership.objects.filter(role__in=roles_that(Do.ADMINISTER))
    elsewhere = Membership.objects.exclude(project__in=projects_where(by, Do.ADMINISTER))
    beyond = (admins | elsewhere).values("user")
    return people.exclude(is_superuser=True).exclude(pk__in=beyond)


@transaction.atomic
def make_reset_key(user: User, *, project: Project | None, by: User | None) -> str:
    """Return the secret part of a link for this account. Args: by: None for a command or a mail."""
    record_action(Action.Kind.RESET_LINK_MADE, project=project, by=by, subject=user)
    return reset_key(user)


def reset_key(user: User) -> str:
    return f"{int_to_base36(user.pk)}.{default_token_generator.make_token(user)}"


def user_of_reset_key(key: str) -> User:
    """Return whose password the link sets. Raises: ResetLinkOver."""
    ident, _, token = key.partition(".")
    try:
        user = User.objects.filter(pk=base36_to_int(ident), is_active=True).first()
    except (ValueError, OverflowError):
        user = None
    if user is None or not default_token_generator.check_token(user, token):
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


def accounts_to_mail(address: str) -> QuerySet[User]:
    """Return the accounts whose confirmed address this is, and which sign in by password."""
    people = User.objects.filter(email__iexact=address, is_active=True).exclude(email="")
    return people.exclude(username__startswith=IMPORTED).exclude(password__startswith="!")
