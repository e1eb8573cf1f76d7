"""Skipping a task: somebody else is asked."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from annotation.models import Assignment, Skip, User
from annotation.models.assignments import WORK
from annotation.selectors.assignments import skips_of
from annotation.services.assignments.assignments import refuse_lost_lease
from annotation.services.assignments.replacements import ask_somebody_else


class NotSkippable(Exception):
    """Training, test and reference tasks cannot be skipped."""


class SkipsUsedUp(Exception):
    """The annotator has skipped as many tasks as the project lets them."""

    def __init__(self, allowed: int) -> None:
        super().__init__(f"You have skipped as many tasks as you may for now: {allowed}.")
        self.allowed = allowed


@transaction.atomic
def skip_task(*, assignment: Assignment, annotator: User, reason: str, note: str, now: datetime) -> Skip:
    """Close the annotator's task without an answer and ask somebody else; the draft is dropped.

    A gold or repeated task counts like any other, so that nobody can recognize it. Skipping again changes
    nothing.

    Raises: LeaseLost when the annotator does not hold the task; NotSkippable; SkipsUsedUp; ValueError when
        there is no such reason.
    """
    if assignment.kind not in WORK:
        raise NotSkippable
    # Two tabs must not both take the last skip.
    User.objects.select_for_update(no_key=True).get(pk=annotator.pk)
    skip = Skip.objects.filter(assignment=assignment, assignment__annotator=annotator).first()
    if skip is not None:
        return skip
    skips = skips_of(annotator, assignment.project)
    if not skips.left:
        raise SkipsUsedUp(skips.allowed)
    lease = Assignment.objects.held_by(annotator).filter(pk=assignment.pk)
    if lease.update(state=Assignment.State.SKIPPED, draft=None, drafted_at=None) != 1:
        refuse_lost_lease()
    skip = Skip.objects.create(
        assignment=assignment, reason=Skip.Reason(reason), note=note.strip(), skipped_at=now
    )
    ask_somebody_else(assignment)
    return skip
