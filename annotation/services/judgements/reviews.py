"""Inspectors' decisions: accepting an answer, or sending it back and asking somebody else."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from annotation.models import Action, Assignment, Prompt, Review, User
from annotation.registry import register_event
from annotation.services.actions import checked_reason, record_action
from annotation.services.assignments.replacements import ask_somebody_else
from annotation.services.webhooks.events import announce

REVIEW_MADE = register_event("review.made", "An answer was inspected")


class NotUnderReview(Exception):
    """The answer's state does not allow this verdict, or the answer was revised meanwhile."""


class OwnAnswer(Exception):
    """Nobody reviews their own answer."""


@transaction.atomic
def accept(*, assignment: Assignment, inspector: User, now: datetime) -> Review:
    """Accept a submitted answer. Raises NotUnderReview, OwnAnswer."""
    _move(
        assignment,
        inspector,
        sources=[Assignment.State.SUBMITTED],
        to=Assignment.State.ACCEPTED,
        accepted_at=now,
    )
    _record(Action.Kind.ACCEPTED, assignment, inspector)
    review = Review.objects.create(
        assignment=assignment, inspector=inspector, verdict=Review.Verdict.ACCEPTED, created_at=now
    )
    _announce(review)
    return review


@transaction.atomic
def send_back(*, assignment: Assignment, inspector: User, reason: str, now: datetime) -> Assignment | None:
    """Reject a submitted or accepted answer and ask somebody else; the rejected one stays.

    Returns: the new, open assignment; one opinion per annotator and prompt keeps it from the same person.
        None for a check, which others get anyway; where an image has no file; and in a closed study.
    Raises: NotUnderReview; OwnAnswer; ReasonMissing when the reason is blank.
    """
    reason = checked_reason(reason)
    _move(
        assignment,
        inspector,
        sources=[Assignment.State.SUBMITTED, Assignment.State.ACCEPTED],
        to=Assignment.State.REJECTED,
        accepted_at=None,
    )
    review = Review.objects.create(
        assignment=assignment,
        inspector=inspector,
        verdict=Review.Verdict.REJECTED,
        reason=reason,
        created_at=now,
    )
    _record(Action.Kind.SENT_BACK, assignment, inspector, reason=reason)
    _announce(review)
    Prompt.objects.filter(pk=assignment.prompt_id).update(agreement=None, opinions_compared=0)
    return ask_somebody_else(assignment)


def _announce(review: Review) -> None:
    data = {
        "assignment": review.assignment.pk,
        "prompt": review.assignment.prompt.key,
        "inspector": review.inspector.username,
        "verdict": review.verdict,
        "reason": review.reason,
    }
    announce(REVIEW_MADE, project=review.assignment.project, data=data)


def _record(kind: Action.Kind, assignment: Assignment, inspector: User, **details: Any) -> None:
    answer = f"answer {assignment.pk}"
    record_action(
        kind,
        project=assignment.project_id,
        by=inspector,
        subject=answer,
        prompt_ids=[assignment.prompt_id],
        **details,
    )


def _move(
    assignment: Assignment,
    inspector: User,
    *,
    sources: list[Assignment.State],
    to: Assignment.State,
    accepted_at: datetime | None,
) -> None:
    if assignment.annotator_id == inspector.pk:
        raise OwnAnswer
    # `revised_at` guards against a revision during the review.
    answer = Assignment.objects.work().filter(
        pk=assignment.pk, revised_at=assignment.revised_at, state__in=sources
    )
    if answer.exclude(annotator=inspector).update(state=to, accepted_at=accepted_at) != 1:
        raise NotUnderReview
