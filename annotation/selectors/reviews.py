"""One submitted answer, as shown to an inspector."""

from __future__ import annotations

from dataclasses import dataclass

from annotation.models import Assignment, Generation, Issue, Problem, PromptLabel, Rating, Review
from annotation.models.axes import Axis
from annotation.models.judgements import HARMFUL


@dataclass(frozen=True)
class JudgedImage:
    """One image, with the number shown to its annotator. `rating` is None where the project asks for none."""

    number: int
    generation: Generation
    slot: int
    rating: Rating | None
    axes: tuple[Axis, ...]

    @property
    def points(self) -> list[tuple[Axis, int]]:
        """The project's axes, each with the image's point."""
        points = self.rating.points if self.rating else {}
        return [(axis, points[axis.name]) for axis in self.axes if axis.name in points]

    @property
    def alt(self) -> str:
        return f"Image {self.number}"

    @property
    def is_harmful(self) -> bool:
        """Whether it was flagged at import, or this answer reports a harmful problem."""
        problems = (self.rating and self.rating.problems) or []
        return self.generation.is_flagged or not set(HARMFUL).isdisjoint(problems)

    @property
    def problems(self) -> list[str]:
        """The labels of the reported problems."""
        return [str(Problem(problem).label) for problem in (self.rating and self.rating.problems) or []]


@dataclass(frozen=True)
class Answer:
    """A submitted answer. `slots` has a list of images for each slot, the best first, also empty ones.

    Images in slots 1 to `acceptable_slots` are acceptable: none when 0; None where it was not asked.
    """

    label: PromptLabel | None
    slots: list[list[JudgedImage]]
    reviews: list[Review]
    acceptable_slots: int | None

    @property
    def intent(self) -> str:
        """Whether the prompt's intent was clear, in words."""
        unclear = self.label and self.label.intent_unclear
        return "not known" if unclear is None else "unclear" if unclear else "clear"

    @property
    def line(self) -> str:
        """Which images are acceptable, in words; "" where it was not asked."""
        last = self.acceptable_slots
        if last is None:
            return ""
        acceptable = sum(len(images) for images in self.slots[:last])
        if not acceptable:
            return "None of these images is acceptable."
        if acceptable == sum(map(len, self.slots)):
            return "All of these images are acceptable."
        return "Acceptable: slot 1." if last == 1 else f"Acceptable: slots 1 to {last}."

    @property
    def issues(self) -> list[str]:
        """The labels of the prompt's issues."""
        return [str(Issue(issue).label) for issue in (self.label and self.label.issues) or []]


def answer_of(assignment: Assignment) -> Answer:
    """Return the answer to the assignment, in five queries."""
    generations = Generation.objects.select_related("image").in_bulk(assignment.order)
    ratings = {rating.generation_id: rating for rating in assignment.ratings.all()}
    slots: list[list[JudgedImage]] = [[] for _ in range(assignment.project.slots)]
    axes = assignment.project.rating_axes
    slot_of = dict(assignment.ranking.placements.values_list("generation_id", "slot"))
    for number, pk in enumerate(assignment.order, start=1):
        image = JudgedImage(number, generations[pk], slot_of[pk], ratings.get(pk), axes)
        slots[image.slot - 1].append(image)
    return Answer(
        label=PromptLabel.objects.filter(assignment=assignment).first(),
        slots=slots,
        reviews=list(assignment.reviews.select_related("inspector")),
        acceptable_slots=assignment.ranking.acceptable_slots,
    )
