"""Somebody's own work: the task before them, what they answered, and what they passed on."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, Subquery

from annotation.access import Do, in_projects_where
from annotation.models import Assignment, Project, Reference, Review, User
from annotation.models.assignments import WORK, AssignmentQuerySet
from annotation.statements import Parameter, Statement

Kind, State = Assignment.Kind, Assignment.State
CHANGEABLE = (*WORK, Kind.REFERENCE)  # training and tests stay as they were answered
HUNDRED = 100  # tasks that a project's number of skips is of


class Skips(NamedTuple):
    """One person's skips in a project."""

    used: int
    allowed: int

    @property
    def left(self) -> int:
        return max(0, self.allowed - self.used)


def _own_assignments(*, is_superuser: bool) -> AssignmentQuerySet:
    annotator = Parameter("annotator")
    projects = Project.objects.filter(
        in_projects_where(annotator, is_superuser, Do.WORK), slug=Parameter("slug")
    )
    own = Assignment.objects.filter(token=Parameter("token"), annotator=annotator, project__in=projects)
    return own.order_by().select_related("project", "prompt").with_images()


OWN_ASSIGNMENT = {
    is_superuser: Statement(partial(_own_assignments, is_superuser=is_superuser))
    for is_superuser in (False, True)
}


def own_assignment(slug: str, annotator: User, token: UUID) -> Assignment | None:
    """The assignment of this token, if it is or was theirs and they still work in that project."""
    statement = OWN_ASSIGNMENT[annotator.is_superuser]
    assignment = statement.first(slug=slug, annotator=annotator.pk, token=token)
    if assignment is not None:
        assignment.prompt.project = assignment.project
    return assignment


def own_answers(user: User, project: Project) -> AssignmentQuerySet:
    """What the user answered in the project, newest first, with all that `why_closed` reads.

    Ordinary, gold and repeated tasks look the same here as well.
    """
    newest = Review.objects.filter(assignment=OuterRef("pk")).order_by("-pk")
    return (
        Assignment.objects.filter(
            annotator=user, project=project, kind__in=CHANGEABLE, submitted_at__isnull=False
        )
        .annotate(
            verdict=Subquery(newest.values("verdict")[:1]),
            reason=Subquery(newest.values("reason")[:1]),
            is_compared_with=Exists(Reference.objects.filter(answer=OuterRef("pk"))),
        )
        .order_by("-submitted_at", "-pk")
    )


def why_closed(answer: Assignment) -> str:
    """Why its annotator may not change one of `own_answers` any more, as a sentence; "" while they may."""
    annotations, settled = vars(answer), answer.project.settled_until
    if answer.state == State.REJECTED:
        return f"An inspector sent this answer back: {annotations['reason']}"
    if annotations["verdict"] is not None:
        return "An inspector has accepted this answer."
    if annotations["is_compared_with"]:
        return "Others' answers are compared with this one."
    if settled and answer.accepted_at and answer.accepted_at <= settled:
        return "This answer counts by now: it was exported, or is part of a dataset."
    return ""


def skips_of(annotator: User, project: Project) -> Skips:
    """So many of every hundred tasks begun may be skipped: the next hundred brings new ones."""
    closed = Assignment.objects.work().filter(project=project, annotator=annotator)
    closed = closed.exclude(state=State.LEASED)
    counts = closed.aggregate(tasks=Count("pk"), used=Count("pk", filter=Q(state=State.SKIPPED)))
    return Skips(counts["used"], project.skips_per_hundred * (1 + counts["tasks"] // HUNDRED))


def skips_by_annotator(project: Project) -> dict[int, int]:
    """Annotator id -> skipped tasks, in one query."""
    skipped = Assignment.objects.work().filter(project=project, state=State.SKIPPED)
    return dict(skipped.order_by().values_list("annotator").annotate(Count("pk")))
