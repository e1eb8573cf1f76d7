"""One's own answers, and whether they may still be changed."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Subquery

from annotation.models import Assignment, Project, Reference, Review, User
from annotation.models.assignments import WORK, AssignmentQuerySet

Kind, State = Assignment.Kind, Assignment.State
CHANGEABLE = (*WORK, Kind.REFERENCE)  # training and tests stay as they were answered


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
    found, settled = vars(answer), answer.project.settled_until
    if answer.state == State.REJECTED:
        return f"An inspector sent this answer back: {found['reason']}"
    if found["verdict"] is not None:
        return "An inspector has accepted this answer."
    if found["is_compared_with"]:
        return "Others' answers are compared with this one."
    if settled and answer.accepted_at and answer.accepted_at <= settled:
        return "This answer counts by now: it was exported, or is part of a dataset."
    return ""
