"""Which guideline holds now, and who read it."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Exists, OuterRef

from annotation.models import Acknowledgement, Guideline, Project, User


class Reading(NamedTuple):
    """The newest version, None where there is none, and whether the reader still has to acknowledge it."""

    guideline: Guideline | None
    is_due: bool


def current_guideline(*, project: Project, reader: User) -> Reading:
    """What the reader has to know; one query."""
    read = Acknowledgement.objects.filter(guideline=OuterRef("pk"), user=reader)
    newest = project.guidelines.annotate(is_read=Exists(read)).order_by("-version").first()
    return Reading(newest, newest is not None and not newest.is_read)
