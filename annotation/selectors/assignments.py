"""A user's own work: their current task, their answers, and their skips."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.db.models import Count, Exists, F, OuterRef, Q, Subquery

from annotation.access import Do, in_projects_where
from annotation.models import Assignment, Project, Reference, Review, User
from annotation.models.assignments import WORK, AssignmentQuerySet
from annotation.statements import Parameter, Statement

Kind, State = Assignment.Kind, Assignment.State
CHANGEABLE = (*WORK, Kind.REFERENCE)  # training and test answers cannot be revised
HUNDRED = 100  # a project allows its number of skips per so many tasks


class Skips(NamedTuple):
    """A user's skips in a project."""

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
    rows = Assignment.objects.filter(token=Parameter("token"), annotator=annotator, project__in=projects)
    return rows.order_by().select_related("project", "prompt").with_images()


OWN_ASSIGNMENT = {
    is_superuser: Statement(partial(_own_assignments, is_superuser=is_superuser))
    for is_superuser in (False, True)
}


def own_assignment(slug: str, annotator: User, token: UUID) -> Assignment | None:
    """Return the user's assignment of this token, current or past, if they still work in the project."""
    statement = OWN_ASSIGNMENT[annotator.is_superuser]
    assignment = statement.first(slug=slug, annotator=annotator.pk, token=token)
    if assignment is not None:
        assignment.prompt.project = assignment.project
    return assignment


def own_answers(user: User, project: Project) -> AssignmentQuerySet:
    """Return the user's answers in the project, newest first, with all fields that `why_closed` reads.

    Ordinary, gold and repeated tasks look the same here, too.
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
            prompt_closed_at=F("prompt__closed_at"),
        )
        .order_by("-submitted_at", "-pk")
    )


def why_closed(answer: Assignment) -> str:
    """Return why an answer of `own_answers` can no longer be revised, as a sentence; "" if it can."""
    annotations, settled = vars(answer), answer.project.settled_until
    if answer.state == State.REJECTED:
        return f"An inspector sent this answer back: {annotations['reason']}"
    if annotations["verdict"] is not None:
        return "An inspector has accepted this answer."
    if annotations["is_compared_with"]:
        return "Others' answers are compared with this one."
    if annotations["prompt_closed_at"]:
        return "This answer counts by now: nobody is asked about this prompt any more."
    if settled and answer.accepted_at and answer.accepted_at <= settled:
        return "This answer counts by now: it was exported, or is part of a dataset."
    return ""


def skips_of(annotator: User, project: Project) -> Skips:
    """Return the user's skips: each hundred tasks begun allow the project's number of skips again."""
    closed = Assignment.objects.work().filter(project=project, annotator=annotator)
    closed = closed.exclude(state=State.LEASED)
    counts = closed.aggregate(tasks=Count("pk"), used=Count("pk", filter=Q(state=State.SKIPPED)))
    return Skips(counts["used"], project.skips_per_hundred * (1 + counts["tasks"] // HUNDRED))


def skips_by_annotator(project: Project) -> dict[int, int]:
    """Return annotator id -> number of skipped tasks, in one query."""
    skipped = Assignment.objects.work().filter(project=project, state=State.SKIPPED)
    return dict(skipped.order_by().values_list("annotator").annotate(Count("pk")))
