"""Checking people while they work: tasks mixed in unnoticed, and how far the answers agree."""

from __future__ import annotations

import random
from datetime import datetime

from django.db import transaction

from annotation.models import Assignment, Check, Project, Reference, User
from annotation.selectors.checks.checks import slots_when_answered
from annotation.statistics.answers import compare

Kind = Assignment.Kind
REPEAT_AFTER = 50  # answers of the annotator's in between, so that the first one is not remembered; ours
REPEAT_POOL = 200  # answers before those, from which the repeated one is drawn; ours
BATCH = 500


def draw_check(*, annotator: User, project: Project, generator: random.Random) -> Assignment | None:
    """Now and then, a check in place of new work: its prompt and the answer it is against, not stored yet.

    A gold prompt is one that the annotator never had; a repeat is one they judged long ago. Each task is a
    check with the project's shares as probabilities, whatever the ones before it were: there is no rhythm.
    """
    chance = generator.random()
    if chance < project.gold_share:
        kind = Kind.GOLD
        had = Assignment.objects.filter(annotator=annotator).values("prompt")
        gold = Reference.objects.in_use().filter(purpose=Reference.Purpose.GOLD)
        trusted = Assignment.objects.filter(project=project, state=Assignment.State.ACCEPTED)
        answers = trusted.filter(reference__in=gold).exclude(prompt__in=had)
    elif chance < project.gold_share + project.repeat_share:
        kind = Kind.REPEAT
        own = Assignment.objects.ordinary().filter(project=project, annotator=annotator)
        repeated = Assignment.objects.filter(annotator=annotator, kind=Kind.REPEAT).values("prompt")
        answered = own.filter(submitted_at__isnull=False).exclude(state=Assignment.State.REJECTED)
        answers = answered.exclude(prompt__in=repeated).order_by("-submitted_at")
        answers = answers[REPEAT_AFTER : REPEAT_AFTER + REPEAT_POOL]
    else:
        return None
    pool = list(answers.select_related("prompt"))
    if not pool:
        return None
    against = generator.choice(pool)
    return Assignment(project=project, prompt=against.prompt, kind=kind, against=against)


@transaction.atomic
def compare_answers(*, now: datetime, annotator: User | None = None) -> int:
    """Compare the checks that were answered since the last time, or one person's; returns how many.

    It is not done when an answer comes in: a check would take longer to store than other tasks, and shows.
    What both answers said when the check was answered is compared, once: no change made to either later moves
    what their annotator reads of their agreement.
    """
    answered = Assignment.objects.filter(against__isnull=False, submitted_at__isnull=False, check_result=None)
    if annotator is not None:
        answered = answered.filter(annotator=annotator)
    waiting = list(answered.select_for_update(of=("self",), skip_locked=True).order_by("pk")[:BATCH])
    slots = slots_when_answered(waiting)
    results = []
    for task in waiting:
        agreed, pairs = compare(*slots[task.pk])
        results.append(Check(assignment=task, agreed=agreed, pairs=pairs, compared_at=now))
    Check.objects.bulk_create(results)
    return len(results)
