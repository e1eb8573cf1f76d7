"""How well people's answers agree with known ones, and with their own earlier ones."""

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
    """Compared answers of one kind: pairs of images that agree, of all their pairs."""

    answers: int = 0
    agreed: float = 0.0
    pairs: int = 0

    @property
    def share(self) -> float | None:
        """From 0 to 1; an answer by chance has 1/2. None where there are too few to say."""
        return self.agreed / self.pairs if self.answers >= ENOUGH else None


def start_of_day(now: datetime) -> datetime:
    """Since when answers are left out of what annotators read of their agreement: today's midnight in UTC."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def quality_of(annotator: User, project: Project, *, before: datetime) -> Agreed:
    """The annotator's agreement with gold answers, for their own eyes.

    Args: before: answers from then on are left out, so that the figure does not tell which task was gold.
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
    """Annotator id -> kind of check -> what was compared; in one statement."""
    agreement: dict[int, dict[str, Agreed]] = defaultdict(dict)
    checks = Check.objects.filter(assignment__project=project).values_list(
        "assignment__annotator", "assignment__kind"
    )
    for annotator, kind, *sums in checks.annotate(Count("pk"), Sum("agreed"), Sum("pairs")):
        agreement[annotator][kind] = Agreed(*sums)
    return agreement


def slots_of(assignments: list[int]) -> dict[int, dict[int, int]]:
    """Generation id -> slot, by assignment id."""
    slots: dict[int, dict[int, int]] = defaultdict(dict)
    placements = Placement.objects.filter(ranking__assignment__in=assignments)
    for assignment, generation, slot in placements.values_list(
        "ranking__assignment", "generation_id", "slot"
    ):
        slots[assignment][generation] = slot
    return slots


def slots_when_answered(checks: Iterable[Assignment]) -> dict[int, tuple[dict[int, int], dict[int, int]]]:
    """Check's id -> slots in the answer it is against and in its own, as both were when it was answered.

    Slots are by generation id.
    """
    answered = [(check.pk, check.against_id or 0, check.submitted_at) for check in checks]
    every = [pk for own, against, _ in answered for pk in (own, against)]
    now = slots_of(
        every
    )  # read before the revisions: an answer that is changed in between is the same in both
    revisions: dict[int, list[Revision]] = defaultdict(list)
    for revision in Revision.objects.filter(assignment__in=every).order_by("assignment", "number"):
        revisions[revision.assignment_id].append(revision)

    def slots_at(pk: int, at: datetime | None) -> dict[int, int]:
        for revision in revisions[pk]:
            if at is not None and revision.replaced_at >= at:
                return {int(generation): slot for generation, slot in revision.said["slots"].items()}
        return now[pk]

    return {own: (slots_at(against, at), slots_at(own, at)) for own, against, at in answered}
