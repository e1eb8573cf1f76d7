"""Asking somebody else, where a task was skipped or its answer sent back."""

from __future__ import annotations

from annotation.models import Assignment, Generation, Prompt
from annotation.models.assignments import OPINIONS


def ask_somebody_else(assignment: Assignment) -> Assignment | None:
    """Open the same task again, within the caller's transaction.

    Returns: the new, open assignment. None for a check, which others get anyway; where an image has no file;
        and for a study's prompt about which nobody is asked any more.
    """
    if assignment.kind not in OPINIONS:
        return None
    if Generation.objects.filter(pk__in=assignment.order, image=None).exists():
        return None
    if assignment.kind == Assignment.Kind.STUDY and not _is_still_asked(assignment.prompt_id):
        return None
    return Assignment.objects.create(
        project_id=assignment.project_id,
        prompt_id=assignment.prompt_id,
        kind=assignment.kind,
        priority=assignment.priority,
    )


def _is_still_asked(prompt: int) -> bool:
    """Return whether the study's prompt is open, and lock it: its study may be closing just now."""
    asked = Prompt.everything.select_for_update(no_key=True).filter(pk=prompt, closed_at=None)
    return asked.values_list("pk").first() is not None
