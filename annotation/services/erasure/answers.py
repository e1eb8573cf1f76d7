"""Removing what somebody answered; somebody else is asked instead."""

from __future__ import annotations

from django.db import connection
from django.db.models import QuerySet

from annotation.models import Assignment, Reference, Review, Revision, Skip, User
from annotation.services.assignments.replacements import ask_somebody_else

State = Assignment.State
ANSWERED = (State.SUBMITTED, State.ACCEPTED)


def give_back_tasks(user: User) -> int:
    """Take back what somebody has before them, within the caller's transaction. Returns: how many tasks."""
    return _remove(Assignment.objects.filter(annotator=user, state=State.LEASED))


def remove_answers(user: User) -> tuple[int, int]:
    """Remove somebody's answers with all that hangs on them, within the caller's transaction.

    Frozen datasets keep their rows, which name nobody. An answer that others were compared with stays.

    Returns: answers removed, and answers that stay.
    """
    answers = Assignment.objects.filter(annotator=user)
    trusted = Reference.objects.values("answer")
    compared = Assignment.objects.exclude(against=None).exclude(annotator=user).values("against")
    removed = answers.exclude(pk__in=trusted).exclude(pk__in=compared)
    stay = answers.count() - removed.count()
    return _remove(removed), stay


def _remove(assignments: QuerySet[Assignment]) -> int:
    rows = list(assignments.select_for_update(of=("self",)))
    ids = [row.pk for row in rows]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL laurel.log = 'erase'")  # revisions are only added, but for this
        for model in (Revision, Review, Skip):
            model._base_manager.filter(assignment__in=ids).delete()
        cursor.execute("SET LOCAL laurel.log = ''")
    Assignment.objects.filter(against__in=ids, pk__in=ids).update(against=None)
    Assignment.objects.filter(pk__in=ids).delete()
    for row in rows:
        if row.state in (*ANSWERED, State.LEASED):
            ask_somebody_else(row)
    return len(rows)
