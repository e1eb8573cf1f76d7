"""API tokens: created and revoked by their owners, stored as digests."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import transaction

from annotation.models import Action, ApiToken, Project, User
from annotation.services.actions import record_action

PREFIX = "laurel_"  # lets scanners for leaked secrets find it
HINT = len(PREFIX) + 4
USE_NOTED_EVERY = timedelta(hours=1)  # not at each request: reads would become writes


@transaction.atomic
def issue_token(
    *,
    user: User,
    name: str,
    days: int | None,
    now: datetime,
    project: Project | None = None,
    reads_only: bool = False,
    by: User | None = None,
) -> tuple[ApiToken, str]:
    """Create a token.

    Args:
        days: how long it is valid; None: it does not expire.
        project: refuse requests about others; None: for all projects of the user, also those to come.
        reads_only: refuse requests that change data.
        by: None for a command.
    Returns: its row and the secret, which is stored nowhere.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        digest=digest_of(secret),
        hint=secret[:HINT],
        project=project,
        reads_only=reads_only,
        created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
    )
    record_action(
        Action.Kind.TOKEN_MADE if by else Action.Kind.TOKEN_MADE_FOR,
        project=None,
        by=by,
        subject=name if by else user,
        token=name,
        days=days,
        only_project=project.slug if project else None,
        reads_only=reads_only,
    )
    return token, secret


@transaction.atomic
def revoke_token(token: ApiToken) -> None:
    """Delete a token: the next request with it is refused."""
    record_action(Action.Kind.TOKEN_REVOKED, project=None, by=token.user, subject=token.name)
    token.delete()


def use_token(*, secret: str, now: datetime) -> ApiToken | None:
    """Return the valid token of this secret with its owner, or None; record its use.

    The owner's `only_project` is the token's, so that it holds wherever permissions are asked for.
    """
    tokens = ApiToken.objects.valid(now=now).select_related("user", "project")
    token = tokens.filter(digest=digest_of(secret)).first()
    if token is None:
        return None
    token.user.only_project = token.project_id
    if token.last_used_at is None or now - token.last_used_at > USE_NOTED_EVERY:
        token.last_used_at = now
        token.save(update_fields=["last_used_at"])
    return token


def digest_of(secret: str) -> str:
    """Return the digest of a secret, unsalted and quick: its 256 random bits leave nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()
