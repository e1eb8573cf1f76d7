"""Giving a role by user name, with a new account where asked: on pages, over the API and by command."""

from __future__ import annotations

from typing import ClassVar

from django.db import transaction

from annotation.access import MAY, Do
from annotation.models import Membership, Project, User
from annotation.services.people.accounts import NameTaken, create_account
from annotation.services.projects.projects import add_member, remove_member


class MemberRefused(Exception):
    """The role cannot be given; `field` is the one to blame: `username` or `role`."""

    field: ClassVar[str] = "username"


class AccountExists(MemberRefused):
    """A new account was asked for."""

    def __init__(self) -> None:
        super().__init__("There is an account of this name, or of one that looks like it, already.")


class NoAccount(MemberRefused):
    """There is nobody of this name."""

    def __init__(self) -> None:
        super().__init__("There is no account of this name.")


class OwnProject(MemberRefused):
    """An admin would take the project from themselves."""

    field: ClassVar[str] = "role"

    def __init__(self) -> None:
        super().__init__("You cannot take this project from yourself. Another admin can.")


@transaction.atomic
def give_role(
    *, project: Project, username: str, role: str, by: User | None, new_account: bool = False
) -> tuple[Membership, str | None]:
    """Give somebody a role in place of their current one; who has it already keeps it.

    Args:
        username: as `MemberForm` cleans it.
        by: None for a command.
        new_account: make an account of this name.
    Returns: the membership, and the new account's password, which is stored only as a hash.
    Raises: MemberRefused, as its subclasses say; ValueError for an unknown role.
    """
    password = None
    if new_account:
        try:
            user, password = create_account(username=username, project=project, by=by)
        except NameTaken:
            raise AccountExists from None
    else:
        account = User.objects.filter(username=username).first()
        if account is None:
            raise NoAccount
        user = account
    if user == by and not (user.is_superuser or Do.ADMINISTER in MAY[role]):
        raise OwnProject
    current = Membership.objects.filter(project=project, user=user, role=role).first()
    return current or add_member(project=project, user=user, role=role, by=by), password


def take_role(*, project: Project, user: User, by: User | None) -> None:
    """Remove the member. Raises: OwnProject for an admin's own membership."""
    if user == by:
        raise OwnProject
    remove_member(project=project, user=user, by=by)
