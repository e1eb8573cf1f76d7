"""An annotator's progress in training and test, and the feedback on training items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from annotation.models import Assignment, Generation, Reference
from annotation.selectors.checks.checks import slots_of
from annotation.statistics.answers import compare


class Lesson(NamedTuple):
    """The current item is `number` of `total` of its kind."""

    kind: str
    number: int
    total: int


class PlacedTwice(NamedTuple):
    """One image, numbered as shown, with its slots in both answers."""

    number: int
    generation: Generation
    yours: int
    theirs: int

    @property
    def alt(self) -> str:
        return f"Image {self.number}"


@dataclass(frozen=True)
class Feedback:
    """An answer to a training item compared with the reference, whose best image comes first."""

    images: list[PlacedTwice]
    agreed: float
    pairs: int
    note: str


def lesson_of(assignment: Assignment) -> Lesson | None:
    """Return the annotator's progress in the training or the test; None for other work."""
    if assignment.kind not in (Assignment.Kind.TRAINING, Assignment.Kind.QUALIFICATION):
        return None
    lessons = Assignment.objects.filter(
        project=assignment.project_id, annotator=assignment.annotator_id, kind=assignment.kind
    )
    items = Reference.objects.in_use().filter(prompt__project=assignment.project_id, purpose=assignment.kind)
    unanswered = items.exclude(prompt__in=lessons.values("prompt")).count()
    earlier = lessons.filter(pk__lt=assignment.pk).count()
    return Lesson(assignment.kind, earlier + 1, lessons.count() + unanswered)


def feedback_of(assignment: Assignment) -> Feedback:
    """Return the submitted training item compared with its reference answer."""
    assert assignment.against_id is not None  # training items always have one
    slots = slots_of([assignment.pk, assignment.against_id])
    own_slots, reference_slots = slots[assignment.pk], slots[assignment.against_id]
    generations = Generation.objects.select_related("image").in_bulk(assignment.order)
    images = [
        PlacedTwice(number, generations[pk], own_slots[pk], reference_slots[pk])
        for number, pk in enumerate(assignment.order, start=1)
    ]
    agreed, pairs = compare(reference_slots, own_slots)
    reference = Reference.objects.filter(prompt=assignment.prompt_id).first()
    return Feedback(
        sorted(images, key=lambda image: (image.theirs, image.number)),
        agreed,
        pairs,
        reference.note if reference else "",
    )
