"""The log: who did what, and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection, transaction

from annotation.models import Action, Project, Seal, User
from annotation.models.actions import NAMED_PROMPTS, SUBJECT_LENGTH
from annotation.registry import ActionKind


class ReasonMissing(Exception):
    """The action requires a reason, which is logged."""


def checked_reason(reason: str) -> str:
    """Return the reason stripped of surrounding whitespace. Raises ReasonMissing."""
    if not reason.strip():
        raise ReasonMissing
    return reason.strip()


def record_action(
    kind: Action.Kind | ActionKind,
    *,
    project: Project | int | None,
    by: User | None,
    subject: object = "",
    prompt_ids: Iterable[int] = (),
    **details: Any,
) -> Action:
    """Add a row to the log, within the transaction of the action.

    Args:
        by: None for a rule or a command.
        subject: whom or what the action concerns.
        prompt_ids: the prompts that it concerns, whose images the log shows; the first few are kept.
        details: JSON, by name.
    """
    return Action.objects.create(
        kind=kind,
        project_id=project.pk if isinstance(project, Project) else project,
        actor=by,
        subject=str(subject)[:SUBJECT_LENGTH],
        details=details,
        prompt_ids=list(islice(dict.fromkeys(prompt_ids), NAMED_PROMPTS)),
    )


@transaction.atomic
def shorten_log(*, now: datetime, days: int) -> int:
    """Remove entries older than so many days from the beginning of the log, and log that.

    The entry about it says with which hash the chain now begins, so that it can still be checked.

    Returns: how many were removed.
    """
    until = now - timedelta(days=days)
    kept = Seal.objects.filter(action__at__gte=until).order_by("number").first()
    older = Seal.objects.filter(action__at__lt=until)
    last = (older.filter(number__lt=kept.number) if kept else older).order_by("-number").first()
    if last is None:
        return 0
    removed = Seal.objects.filter(number__lte=last.number)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL laurel.log = 'shorten'")
        Action.objects.filter(pk__in=removed.values("action")).delete()
        count, _ = removed.delete()
        cursor.execute("SET LOCAL laurel.log = ''")
    details: dict[str, Any] = {"entries": count, "through": last.number, "hash": last.hash}
    record_action(Action.Kind.SHORTENED, project=None, by=None, subject=f"{count} entries", **details)
    return count
