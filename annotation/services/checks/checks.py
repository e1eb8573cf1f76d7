"""Checking people while they work: tasks mixed in unnoticed, and how far the answers agree."""

from __future__ import annotations

import random
from datetime import datetime

from django.db import transaction

from annotation.models import Assignment, Check, Project, Reference, User
from annotation.selectors.checks.checks import slots_when_answered
from annotation.statistics.answers import compare

Kind = Assignment.Kind
REPEAT_AFTER = 50  # the annotator's answers in between, so that the first one is not remembered; ours
REPEAT_POOL = 200  # answers before those, from which the repeated one is drawn; ours
BATCH = 500


def draw_check(*, annotator: User, project: Project, generator: random.Random) -> Assignment | None:
    """Return an unsaved check to give in place of new work, or None for most tasks.

    A gold prompt is one that the annotator was never given; a repeat is one they judged long ago. Each task
    is a check with the project's shares as probabilities, independently of earlier tasks.
    """
    chance = generator.random()
    if chance < project.gold_share:
        kind = Kind.GOLD
        seen_prompts = Assignment.objects.filter(annotator=annotator).values("prompt")
        gold = Reference.objects.in_use().filter(purpose=Reference.Purpose.GOLD)
        trusted_answers = Assignment.objects.filter(project=project, state=Assignment.State.ACCEPTED)
        answers = trusted_answers.filter(reference__in=gold).exclude(prompt__in=seen_prompts)
    elif chance < project.gold_share + project.repeat_share:
        kind = Kind.REPEAT
        assignments = Assignment.objects.ordinary().filter(project=project, annotator=annotator)
        repeated_prompts = Assignment.objects.filter(annotator=annotator, kind=Kind.REPEAT).values("prompt")
        answers = assignments.filter(submitted_at__isnull=False).exclude(state=Assignment.State.REJECTED)
        answers = answers.exclude(prompt__in=repeated_prompts).order_by("-submitted_at")
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
    """Compare the checks answered since the last call, or one annotator's; return how many.

    This is not done on submission: checks would take longer than other tasks, and could be recognized.
    Each check is compared once, with both answers as they were when it was answered: later revisions do not
    change the agreement shown to the annotator.
    """
    checks = Assignment.objects.filter(against__isnull=False, submitted_at__isnull=False, check_result=None)
    if annotator is not None:
        checks = checks.filter(annotator=annotator)
    tasks = list(checks.select_for_update(of=("self",), skip_locked=True).order_by("pk")[:BATCH])
    slots = slots_when_answered(tasks)
    results = []
    for task in tasks:
        agreed, pairs = compare(*slots[task.pk])
        results.append(Check(assignment=task, agreed=agreed, pairs=pairs, compared_at=now))
    Check.objects.bulk_create(results)
    return len(results)
