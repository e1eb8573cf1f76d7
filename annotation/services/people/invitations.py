"""Invitation links, and joining a project by one."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.db import transaction
from django.db.models import F

from annotation.models import Action, Invitation, Membership, Project, User
from annotation.services.actions import record_action
from annotation.services.people.tokens import digest_of


class InvitationOver(Exception):
    """The link does not exist, expired, was revoked, or has no uses left."""


class AlreadyMember(Exception):
    """The user already has a role in the project, and keeps it."""


@transaction.atomic
def invite(
    *, project: Project, role: str, uses: int, expires_at: datetime, by: User, now: datetime
) -> tuple[Invitation, str]:
    """Create a link for this role, which is never admin.

    Returns: the invitation and the secret part of its link, which is stored only as a hash.
    """
    token = secrets.token_urlsafe(24)
    invitation = Invitation.objects.create(
        project=project,
        role=role,
        token_sha256=digest_of(token),
        uses=uses,
        expires_at=expires_at,
        created_by=by,
        created_at=now,
    )
    record_action(
        Action.Kind.INVITED,
        project=project,
        by=by,
        subject=role,
        uses=uses,
        expires_at=expires_at.isoformat(),
        invitation=invitation.pk,
    )
    return invitation, token


@transaction.atomic
def revoke(*, invitation: Invitation, by: User, now: datetime) -> None:
    """Close an invitation; members who joined by it stay. Raises: InvitationOver."""
    if not Invitation.objects.open(now=now).filter(pk=invitation.pk).update(revoked_at=now):
        raise InvitationOver
    record_action(
        Action.Kind.INVITATION_REVOKED,
        project=invitation.project_id,
        by=by,
        subject=invitation.role,
        invitation=invitation.pk,
    )


def open_invitation(*, token: str, now: datetime) -> Invitation:
    """Return the invitation of a link. Raises: InvitationOver."""
    open_ones = Invitation.objects.open(now=now).select_related("project")
    invitation = open_ones.filter(token_sha256=digest_of(token)).first()
    if invitation is None:
        raise InvitationOver
    return invitation


@transaction.atomic
def join(*, token: str, user: User, now: datetime) -> Membership:
    """Make the user a member with the invitation's role. Raises: InvitationOver; AlreadyMember."""
    invitation = open_invitation(token=token, now=now)
    User.objects.select_for_update(no_key=True).get(pk=user.pk)  # two clicks count as one use
    if Membership.objects.filter(project=invitation.project, user=user).exists():
        raise AlreadyMember
    if not Invitation.objects.open(now=now).filter(pk=invitation.pk).update(used=F("used") + 1):
        raise InvitationOver
    record_action(
        Action.Kind.JOINED,
        project=invitation.project,
        by=user,
        subject=invitation.role,
        invitation=invitation.pk,
    )
    return Membership.objects.create(project=invitation.project, user=user, role=invitation.role)
