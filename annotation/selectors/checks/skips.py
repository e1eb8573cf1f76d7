"""How many tasks somebody passed on, and how many more they may."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Count, Q

from annotation.models import Assignment, Project, User

HUNDRED = 100  # tasks that a project's number of skips is of


class Skips(NamedTuple):
    """One person's skips in a project."""

    used: int
    allowed: int

    @property
    def left(self) -> int:
        return max(0, self.allowed - self.used)


def skips_of(annotator: User, project: Project) -> Skips:
    """So many of every hundred tasks begun may be skipped: the next hundred brings new ones."""
    closed = Assignment.objects.work().filter(project=project, annotator=annotator)
    closed = closed.exclude(state=Assignment.State.LEASED)
    counts = closed.aggregate(tasks=Count("pk"), used=Count("pk", filter=Q(state=Assignment.State.SKIPPED)))
    return Skips(counts["used"], project.skips_per_hundred * (1 + counts["tasks"] // HUNDRED))


def skips_by_annotator(project: Project) -> dict[int, int]:
    """Annotator id -> tasks passed on; in one statement."""
    skipped = Assignment.objects.work().filter(project=project, state=Assignment.State.SKIPPED)
    return dict(skipped.order_by().values_list("annotator").annotate(Count("pk")))
