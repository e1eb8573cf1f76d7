"""What somebody is in a project's workspace, and whether they may be given work there."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Subquery
from django.db.models.expressions import Combinable

from annotation.models import (
    Acknowledgement,
    Guideline,
    Membership,
    Pause,
    Project,
    Qualification,
    User,
)

Role = Membership.Role
# Annotators are given work; researchers and admins answer in the same place what others are compared with.
WORKING = (Role.ANNOTATOR, Role.RESEARCHER, Role.ADMIN)


@dataclass(frozen=True)
class Standing:
    """Somebody's role, the newest version of the guideline, and whether they still have to acknowledge it.

    `paused` says why somebody gets no work; `outcome` is of their qualification, None where untested.
    """

    project: Project
    role: str
    guideline: Guideline
    is_reading_due: bool
    paused: str | None
    outcome: str | None

    @property
    def annotates(self) -> bool:
        return self.role == Role.ANNOTATOR

    @property
    def is_qualified(self) -> bool:
        return not self.project.requires_qualification or self.outcome == Qualification.Outcome.QUALIFIED

    @property
    def is_refused(self) -> bool:
        return not self.is_qualified and self.outcome is not None


def standing_in(slug: str, user: User) -> Standing | None:
    """How the user stands in the project, in one statement; None for people without a part in its work."""
    projects = Project.objects.with_role(user, *WORKING).filter(slug=slug)
    membership = Membership.objects.filter(project=OuterRef("project"), user=user)
    pause = Pause.objects.in_force().filter(project=OuterRef("project"), user=user)
    read = Acknowledgement.objects.filter(guideline=OuterRef("pk"), user=user)
    newest = (
        Guideline.objects.filter(project__in=projects)
        .select_related("project")
        .annotate(
            role=Subquery(membership.values("role")),
            is_read=Exists(read),
            paused=Subquery(pause.values("reason")),
            outcome=newest_outcome(project=OuterRef("project"), user=user),
        )
        .order_by("-version")
        .first()
    )
    if newest is None:
        return None
    found = vars(newest)
    return Standing(
        project=newest.project,
        role=found["role"] or Role.ADMIN,  # a superuser needs no membership
        guideline=newest,
        is_reading_due=not found["is_read"],
        paused=found["paused"],
        outcome=found["outcome"],
    )


def newest_outcome(*, project: Combinable | Project, user: Combinable | User) -> Subquery:
    """Of the newest qualification."""
    decided = Qualification.objects.filter(project=project, user=user).order_by("-pk")
    return Subquery(decided.values("outcome")[:1])


def locked_for_work(user: User, project: Project) -> bool:
    """Lock the user until the transaction ends; false when a pause or a test keeps work from them."""
    pause = Pause.objects.in_force().filter(project=project, user=OuterRef("pk"))
    found = (
        User.objects.select_for_update(no_key=True, of=("self",))
        .annotate(is_paused=Exists(pause), outcome=newest_outcome(project=project, user=OuterRef("pk")))
        .get(pk=user.pk)
    )
    is_paused, outcome = vars(found)["is_paused"], vars(found)["outcome"]
    return not is_paused and (
        not project.requires_qualification or outcome == Qualification.Outcome.QUALIFIED
    )
