"""What somebody is in a project's workspace."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import OuterRef, Subquery

from annotation.models import Membership, Project, User

Role = Membership.Role
# Annotators are given work; researchers and admins answer in the same place what others are compared with.
WORKING = (Role.ANNOTATOR, Role.RESEARCHER, Role.ADMIN)


@dataclass(frozen=True)
class Standing:
    project: Project
    role: str

    @property
    def annotates(self) -> bool:
        return self.role == Role.ANNOTATOR


def standing_in(slug: str, user: User) -> Standing | None:
    """How the user stands in the project, in one statement; None for people without a part in its work."""
    membership = Membership.objects.filter(project=OuterRef("pk"), user=user)
    projects = Project.objects.with_role(user, *WORKING).filter(slug=slug)
    project = projects.annotate(role=Subquery(membership.values("role"))).first()
    if project is None:
        return None
    return Standing(project, vars(project)["role"] or Role.ADMIN)  # a superuser needs no membership
