"""Who may sign in by single sign-on, and the roles that a claim of theirs gives."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from annotation.models import Membership, Project, User
from annotation.services.people.invitations import InvitationOver, open_invitation
from annotation.services.projects.projects import add_member, remove_member


def may_open_account(*, claims: dict[str, Any], invitation: str, now: datetime) -> bool:
    """Return whether somebody whom no account is linked to yet gets one.

    They do if an invitation that they followed is open, or the issuer has verified an address of theirs in
    one of settings.OIDC_DOMAINS.

    Args: invitation: the secret part of its link, or "".
    """
    if invitation:
        try:
            open_invitation(token=invitation, now=now)
        except InvitationOver:
            pass
        else:
            return True
    domain = str(claims.get("email", "")).rpartition("@")[2].casefold()
    return claims.get("email_verified") is True and domain in settings.OIDC_DOMAINS


@transaction.atomic
def follow_claim(user: User, claims: dict[str, Any]) -> None:
    """Give and take the roles that settings.OIDC_ROLES derives from the claim settings.OIDC_ROLE_CLAIM.

    Of the projects that the setting names the claim decides alone, of all others nothing. Without the claim
    nothing changes: an issuer that stopped sending it must not empty projects.
    """
    if settings.OIDC_ROLE_CLAIM not in claims:
        return
    value = claims[settings.OIDC_ROLE_CLAIM]
    values = set(value if isinstance(value, list) else [value])
    wanted = roles_by_project(settings.OIDC_ROLES, values)
    for project in Project.objects.filter(slug__in=wanted):
        role = wanted[project.slug]
        current = Membership.objects.filter(project=project, user=user).values_list("role", flat=True).first()
        if role is None and current is not None:
            remove_member(project=project, user=user)
        elif role is not None and role != current:
            add_member(project=project, user=user, role=role)


def roles_by_project(rules: Iterable[tuple[str, str, str]], values: set[Any]) -> dict[str, str | None]:
    """Return the role in each project that the rules name, None for none. The first rule that holds decides.

    Args: rules: (value of the claim, the project's slug, role).
    """
    roles: dict[str, str | None] = {}
    for value, slug, role in rules:
        roles.setdefault(slug, None)
        if roles[slug] is None and value in values:
            roles[slug] = role
    return roles
