"""Agreement of annotators' answers with gold answers, and with their own earlier ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Sum

from annotation.models import Assignment, Check, Placement, Project, Revision, User

Kind = Assignment.Kind
ENOUGH = 5  # compared answers below which a share says nothing; ours


@dataclass(frozen=True)
class Agreed:
    """Compared answers of one kind: the number of agreeing pairs of images, and of all pairs."""

    answers: int = 0
    agreed: float = 0.0
    pairs: int = 0

    @property
    def share(self) -> float | None:
        """The share of agreeing pairs, from 0 to 1; 1/2 by chance. None if too few answers were compared."""
        return self.agreed / self.pairs if self.answers >= ENOUGH else None


def start_of_day(now: datetime) -> datetime:
    """Return today's midnight in UTC; later answers are left out of the agreement shown to annotators."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def quality_of(annotator: User, project: Project, *, before: datetime) -> Agreed:
    """Return the annotator's agreement with gold answers, as shown to them.

    Args: before: later answers are left out, so that the figure does not reveal which task was gold.
    """
    gold = Check.objects.filter(
        assignment__annotator=annotator,
        assignment__project=project,
        assignment__kind=Kind.GOLD,
        assignment__submitted_at__lt=before,
    )
    sums = gold.aggregate(answers=Count("pk"), agreed=Sum("agreed"), pairs=Sum("pairs"))
    return Agreed(sums["answers"], sums["agreed"] or 0.0, sums["pairs"] or 0)


def agreement_by_annotator(project: Project) -> dict[int, dict[str, Agreed]]:
    """Return annotator id -> kind of check -> the agreement, in one query."""
    agreement: dict[int, dict[str, Agreed]] = defaultdict(dict)
    checks = Check.objects.filter(assignment__project=project).values_list(
        "assignment__annotator", "assignment__kind"
    )
    for annotator, kind, *sums in checks.annotate(Count("pk"), Sum("agreed"), Sum("pairs")):
        agreement[annotator][kind] = Agreed(*sums)
    return agreement


def slots_of(assignments: list[int]) -> dict[int, dict[int, int]]:
    """Return assignment id -> generation id -> slot."""
    slots: dict[int, dict[int, int]] = defaultdict(dict)
    placements = Placement.objects.filter(ranking__assignment__in=assignments)
    for assignment, generation, slot in placements.values_list(
        "ranking__assignment", "generation_id", "slot"
    ):
        slots[assignment][generation] = slot
    return slots


def slots_when_answered(checks: Iterable[Assignment]) -> dict[int, tuple[dict[int, int], dict[int, int]]]:
    """Return check id -> slots of the answer it is against and of its own answer, as of its submission.

    Slots are by generation id.
    """
    answers = [(check.pk, check.against_id or 0, check.submitted_at) for check in checks]
    ids = [pk for check, against, _ in answers for pk in (check, against)]
    # Read before the revisions: an answer that is revised in between is the same in both.
    current = slots_of(ids)
    revisions: dict[int, list[Revision]] = defaultdict(list)
    for revision in Revision.objects.filter(assignment__in=ids).order_by("assignment", "number"):
        revisions[revision.assignment_id].append(revision)

    def slots_at(pk: int, at: datetime | None) -> dict[int, int]:
        for revision in revisions[pk]:
            if at is not None and revision.replaced_at >= at:
                return {int(generation): slot for generation, slot in revision.said["slots"].items()}
        return current[pk]

    return {pk: (slots_at(against, at), slots_at(pk, at)) for pk, against, at in answers}
