"""Skipping a task: somebody else is asked."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from annotation.models import Assignment, Generation, Skip, User
from annotation.models.assignments import WORK
from annotation.selectors.assignments import skips_of
from annotation.services.assignments.assignments import LeaseLost


class NotSkippable(Exception):
    """Training, the test and references are answered."""


class SkipsUsedUp(Exception):
    """The annotator has skipped as many tasks as the project lets them."""

    def __init__(self, allowed: int) -> None:
        super().__init__(f"You have skipped as many tasks as you may for now: {allowed}.")
        self.allowed = allowed


@transaction.atomic
def skip_task(*, assignment: Assignment, annotator: User, reason: str, note: str, now: datetime) -> Skip:
    """Close the annotator's task without an answer and ask somebody else; the draft is dropped.

    A gold or repeated task counts like any other: a difference would tell it. Skipping again changes nothing.

    Raises: LeaseLost when the task is another's, or was answered; NotSkippable; SkipsUsedUp; ValueError when
        there is no such reason.
    """
    if assignment.kind not in WORK:
        raise NotSkippable
    User.objects.select_for_update(no_key=True).get(
        pk=annotator.pk
    )  # two tabs must not both take the last skip
    before = Skip.objects.filter(assignment=assignment, assignment__annotator=annotator).first()
    if before is not None:
        return before
    skips = skips_of(annotator, assignment.project)
    if not skips.left:
        raise SkipsUsedUp(skips.allowed)
    held = Assignment.objects.held_by(annotator).filter(pk=assignment.pk)
    if held.update(state=Assignment.State.SKIPPED, draft=None, drafted_at=None) != 1:
        raise LeaseLost
    skip = Skip.objects.create(
        assignment=assignment, reason=Skip.Reason(reason), note=note.strip(), skipped_at=now
    )
    bare = Generation.objects.filter(pk__in=assignment.order, image=None)
    if assignment.kind == Assignment.Kind.ORDINARY and not bare.exists():
        Assignment.objects.create(
            project_id=assignment.project_id, prompt_id=assignment.prompt_id, priority=assignment.priority
        )
    return skip
