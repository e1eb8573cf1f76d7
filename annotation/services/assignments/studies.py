"""The tasks of blind studies: opened for everybody, and closed when enough is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import uuid4

from django.db import transaction
from django.db.models import Q

from annotation.models import Assignment, Project, Prompt
from annotation.services.assignments.priorities import study_priority

State = Assignment.State


def add_study_prompts(*, project: Project, texts: Sequence[str], translations: Sequence[str]) -> list[Prompt]:
    """Add one prompt for each task of a study, in order; equal texts give prompts of their own.

    Their keys are random: nothing about a task can be learned from its key.
    """
    return Prompt.everything.bulk_create(
        Prompt(project=project, key=uuid4().hex, text=text, translation=translation, is_of_study=True)
        for text, translation in zip(texts, translations, strict=True)
    )


@transaction.atomic
def open_study_assignments(*, prompts: Iterable[Prompt], opinions: int) -> list[Assignment]:
    """Ask for so many opinions on each of these prompts of a study that has no assignment and is not closed.

    They come before other work, and all opinions on a prompt before those on the next.
    """
    asked = Prompt.everything.filter(pk__in=[prompt.pk for prompt in prompts], is_of_study=True)
    ready = asked.filter(closed_at=None, assignments=None)
    # Locked, so that two workers do not both find no assignment, and none is opened while it is closed.
    locked = Prompt.everything.select_for_update(no_key=True).filter(
        pk__in=list(asked.values_list("pk", flat=True))
    )
    list(locked.order_by("pk").values_list("pk"))
    return Assignment.objects.bulk_create(
        Assignment(
            project_id=prompt.project_id,
            prompt=prompt,
            kind=Assignment.Kind.STUDY,
            priority=study_priority(prompt.pk),
        )
        for prompt in ready.order_by("pk")
        for _ in range(opinions)
    )


@transaction.atomic
def close_study_prompts(*, prompts: Collection[int], now: datetime) -> int:
    """Ask nobody any more about these prompts of a study; answers that were given can no longer be revised.

    A task that somebody has in hand stays theirs and still counts when it is submitted in time. Called again,
    it takes back those whose lease ran out since, and those that somebody was changing at the moment.

    Args: prompts: their ids.
    Returns: how many assignments were taken back.
    """
    of_study = Prompt.everything.filter(pk__in=prompts, is_of_study=True)
    of_study.filter(closed_at=None).update(closed_at=now)
    nobody_has_begun = Q(state=State.OPEN) | Q(state=State.LEASED, claimed_at=None)
    lapsed = Q(state=State.LEASED, leased_until__lte=now)
    assignments = Assignment.objects.filter(kind=Assignment.Kind.STUDY, prompt__in=prompts)
    # Locked first: one that is claimed or submitted meanwhile is passed over, with its answer.
    unneeded = assignments.filter(nobody_has_begun | lapsed).select_for_update(skip_locked=True)
    taken_back = list(unneeded.values_list("pk", flat=True))
    Assignment.objects.filter(pk__in=taken_back).delete()
    return len(taken_back)
