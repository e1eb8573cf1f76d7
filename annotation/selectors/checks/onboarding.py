"""What somebody sees of their training and their test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from annotation.models import Assignment, Generation, Reference
from annotation.selectors.checks.checks import slots_of
from annotation.statistics.answers import compare


class Lesson(NamedTuple):
    """The item in hand is `number` of `total` of its kind."""

    kind: str
    number: int
    total: int


class PlacedTwice(NamedTuple):
    """One image, numbered as it was shown, in the slots of both answers."""

    number: int
    generation: Generation
    yours: int
    theirs: int

    @property
    def alt(self) -> str:
        return f"Image {self.number}"


@dataclass(frozen=True)
class Feedback:
    """A training item's answer beside the reference's, best image of the reference first."""

    images: list[PlacedTwice]
    agreed: float
    pairs: int
    note: str


def lesson_of(assignment: Assignment) -> Lesson | None:
    """How far its annotator is with the training or the test; None for other work."""
    if assignment.kind not in (Assignment.Kind.TRAINING, Assignment.Kind.QUALIFICATION):
        return None
    lessons = Assignment.objects.filter(
        project=assignment.project_id, annotator=assignment.annotator_id, kind=assignment.kind
    )
    items = Reference.objects.in_use().filter(prompt__project=assignment.project_id, purpose=assignment.kind)
    left = items.exclude(prompt__in=lessons.values("prompt")).count()
    earlier = lessons.filter(pk__lt=assignment.pk).count()
    return Lesson(assignment.kind, earlier + 1, lessons.count() + left)


def feedback_of(assignment: Assignment) -> Feedback:
    """The submitted training item against the answer that it was asked for."""
    assert assignment.against_id is not None  # only checks are training
    slots = slots_of([assignment.pk, assignment.against_id])
    yours, theirs = slots[assignment.pk], slots[assignment.against_id]
    generations = Generation.objects.select_related("image").in_bulk(assignment.order)
    images = [
        PlacedTwice(number, generations[pk], yours[pk], theirs[pk])
        for number, pk in enumerate(assignment.order, start=1)
    ]
    agreed, pairs = compare(theirs, yours)
    reference = Reference.objects.filter(prompt=assignment.prompt_id).first()
    return Feedback(
        sorted(images, key=lambda image: (image.theirs, image.number)),
        agreed,
        pairs,
        reference.note if reference else "",
    )
