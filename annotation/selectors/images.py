"""Which image files a person may fetch."""

from __future__ import annotations

from uuid import UUID

from annotation.models import Image, Membership, Project, User


def visible_image(user: User, token: UUID) -> Image | None:
    """The image, if a project that the user is a member of shows it."""
    projects = Project.objects.with_role(user, *Membership.Role.values)
    return Image.objects.filter(token=token, generations__prompt__project__in=projects).first()
