"""Before the first task: training items with feedback, then a test, then qualified or refused."""

from __future__ import annotations

import random
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet, Sum

from annotation.models import Action, Assignment, Check, Project, Qualification, Reference, User
from annotation.services.actions import checked_reason, record_action
from annotation.services.checks.checks import compare_answers

Kind = Assignment.Kind
Outcome = Qualification.Outcome
LESSONS = (Reference.Purpose.TRAINING, Reference.Purpose.QUALIFICATION)  # in this order


class NotTested(Exception):
    """The test has unanswered items, or the project has no test."""


@transaction.atomic
def claim_lesson(
    *, annotator: User, project: Project, now: datetime, generator: random.Random
) -> Assignment | None:
    """Lease the annotator the next item of the training, then of the test, with its images prefetched.

    Calling this again returns the item they hold. None when every item is answered.
    """
    User.objects.select_for_update(no_key=True).get(pk=annotator.pk)  # two tabs must not get two items
    tasks = Assignment.objects.filter(project=project).select_related("prompt").with_images()
    lesson = tasks.held_by(annotator).first()
    if lesson is not None:
        return lesson
    for purpose in LESSONS:
        item = _unanswered(annotator, project, purpose).select_related("answer").first()
        if item is not None:
            order = list(item.answer.order)
            generator.shuffle(order)
            lesson = Assignment.objects.create(
                project=project,
                prompt_id=item.prompt_id,
                annotator=annotator,
                kind=Kind(purpose.value),
                against=item.answer,
                state=Assignment.State.LEASED,
                order=order,
                claimed_at=now,
                leased_until=now + project.lease,
            )
            return tasks.get(pk=lesson.pk)
    return None


@transaction.atomic
def decide_qualification(*, annotator: User, project: Project, now: datetime) -> Qualification:
    """Decide from the answered test, or return the earlier decision.

    Annotators qualify who agree with the references on at least the project's share of all pairs of the test.

    Raises: NotTested.
    """
    User.objects.select_for_update(no_key=True).get(pk=annotator.pk)  # decided once
    qualification = Qualification.objects.filter(project=project, user=annotator).first()
    if qualification is not None:
        return qualification
    compare_answers(now=now, annotator=annotator)
    test = Check.objects.filter(
        assignment__project=project, assignment__annotator=annotator, assignment__kind=Kind.QUALIFICATION
    )
    agreed, pairs = test.aggregate(agreed=Sum("agreed"), pairs=Sum("pairs")).values()
    if not pairs or _unanswered(annotator, project, Reference.Purpose.QUALIFICATION).exists():
        raise NotTested
    passed = agreed >= project.qualification_threshold * pairs
    return Qualification.objects.create(
        project=project,
        user=annotator,
        outcome=Outcome.QUALIFIED if passed else Outcome.REFUSED,
        agreed=agreed,
        pairs=pairs,
        threshold=project.qualification_threshold,
        decided_at=now,
    )


@transaction.atomic
def decide_by_hand(
    *, annotator: User, project: Project, outcome: str, reason: str, by: User, now: datetime
) -> Qualification:
    """Qualify or refuse somebody regardless of the test.

    Raises: ReasonMissing; ValueError for an unknown outcome."""
    reason = checked_reason(reason)
    record_action(
        Action.Kind.QUALIFIED,
        project=project,
        by=by,
        subject=annotator,
        outcome=outcome,
        reason=reason,
    )
    return Qualification.objects.create(
        project=project,
        user=annotator,
        outcome=Outcome(outcome),
        threshold=project.qualification_threshold,
        decided_by=by,
        reason=reason,
        decided_at=now,
    )


def _unanswered(annotator: User, project: Project, purpose: str) -> QuerySet[Reference]:
    """Return the references of this purpose whose prompts the annotator was never given."""
    prompts = Assignment.objects.filter(annotator=annotator).values("prompt")
    items = Reference.objects.in_use().filter(prompt__project=project, purpose=purpose)
    return items.filter(answer__state=Assignment.State.ACCEPTED).exclude(prompt__in=prompts).order_by("pk")
