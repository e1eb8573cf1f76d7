"""What somebody is in a project's workspace."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Subquery

from annotation.models import Acknowledgement, Guideline, Membership, Project, User

Role = Membership.Role
# Annotators are given work; researchers and admins answer in the same place what others are compared with.
WORKING = (Role.ANNOTATOR, Role.RESEARCHER, Role.ADMIN)


@dataclass(frozen=True)
class Standing:
    """Somebody's role, the newest version of the guideline, and whether they still have to acknowledge it."""

    project: Project
    role: str
    guideline: Guideline
    is_reading_due: bool

    @property
    def annotates(self) -> bool:
        return self.role == Role.ANNOTATOR


def standing_in(slug: str, user: User) -> Standing | None:
    """How the user stands in the project, in one statement; None for people without a part in its work."""
    projects = Project.objects.with_role(user, *WORKING).filter(slug=slug)
    membership = Membership.objects.filter(project=OuterRef("project"), user=user)
    read = Acknowledgement.objects.filter(guideline=OuterRef("pk"), user=user)
    newest = (
        Guideline.objects.filter(project__in=projects)
        .select_related("project")
        .annotate(role=Subquery(membership.values("role")), is_read=Exists(read))
        .order_by("-version")
        .first()
    )
    if newest is None:
        return None
    role = vars(newest)["role"] or Role.ADMIN  # a superuser needs no membership
    return Standing(newest.project, role, newest, is_reading_due=not newest.is_read)
