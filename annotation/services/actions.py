"""The log: who did what, and why."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from annotation.models import Action, Project, User
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
