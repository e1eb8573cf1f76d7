"""Recording what an annotator judged: label, ratings and ranking, whole or not at all."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import combinations

from django.db import transaction

from annotation.models import Assignment, Category, Issue, Problem, Project, Ranking, User
from annotation.models.assignments import WORK
from annotation.models.axes import PAPER, SCALE
from annotation.registry import register_event
from annotation.services.assignments.assignments import refuse_lost_lease
from annotation.services.judgements.answers import ImageRating, Judgement, Label, close, recorded_before
from annotation.services.webhooks.events import announce

JUDGEMENT_SUBMITTED = register_event("judgement.submitted", "An answer was submitted")


class InvalidJudgement(Exception):
    """The answer may not be recorded as it is; `generations` are the ids of the images concerned."""

    def __init__(self, message: str, generations: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.generations = tuple(generations)


class InvalidLabel(InvalidJudgement):
    """The prompt's label is missing, unknown, or was not asked for."""


class UnknownImages(InvalidJudgement):
    """Images that this assignment does not show."""


class IncompleteRatings(InvalidJudgement):
    """Some images are not rated."""


class InvalidRating(InvalidJudgement):
    """A rating is off its scale, on other axes than asked, names an unknown problem, or was not asked for."""


class IncompleteRanking(InvalidJudgement):
    """Some images are not placed."""


class SlotOutOfRange(InvalidJudgement):
    """An image is in a slot that does not exist."""


class SlotOverfull(InvalidJudgement):
    """A slot holds more images than it may."""


class InvalidLine(InvalidJudgement):
    """The number of acceptable slots is missing, out of range, or was not asked for."""


class Contradiction(InvalidJudgement):
    """Better rated images are in worse slots; `pairs` are (rated better, placed better), `axis` a title."""

    def __init__(self, pairs: list[tuple[int, int]], axis: str) -> None:
        super().__init__(
            f"The ranking contradicts the ratings ({axis}).", sorted({pk for pair in pairs for pk in pair})
        )
        self.pairs, self.axis = pairs, axis


def contradictions(
    ratings: Mapping[int, ImageRating], slots: Mapping[int, int], axis: str = PAPER[0].name
) -> list[tuple[int, int]]:
    """Pairs (a, b) with points(a) > points(b) on the axis although slot(a) is worse than slot(b); ties agree.

    Source: ImageReward, appendix B.3; the exact inequality is unpublished, this one is ours.
    """
    points = {pk: ratings[pk].points[axis] for pk in slots if pk in ratings}
    return [
        (a, b) if points[a] > points[b] else (b, a)
        for a, b in combinations(points, 2)
        if (points[a] - points[b]) * (slots[a] - slots[b]) > 0
    ]


@transaction.atomic
def submit_judgement(
    *,
    assignment: Assignment,
    annotator: User,
    judgement: Judgement,
    now: datetime,
    generator: random.Random,
    confirmed: bool = False,
) -> Ranking:
    """Record a complete answer and close its assignment; the project's share of answers goes to inspection.

    A late answer still counts while nobody else holds the assignment. Submitting it again changes nothing.

    Args: confirmed: the annotator was warned of contradictions and confirms them; used only by WARN projects.
    Raises: InvalidJudgement, as its subclasses say; LeaseLost when the assignment is another's, or was closed
        with a different answer.
    """
    project = assignment.project
    check(project=project, images=assignment.order, judgement=judgement)
    refuse_contradictions(project, judgement, confirmed=confirmed)
    inspected = assignment.kind in WORK and generator.random() < project.review_share
    ranking = close(assignment, judgement, annotator=annotator, is_inspected=inspected, now=now)
    if ranking is None:
        ranking = recorded_before(assignment, annotator, judgement)
        if ranking is None:
            refuse_lost_lease()
        return ranking
    announce(
        JUDGEMENT_SUBMITTED,
        project=project,
        data={
            "assignment": assignment.pk,
            "prompt": assignment.prompt.key,
            "annotator": annotator.username,
            "is_inspected": inspected,
        },
    )
    return ranking


def refuse_contradictions(project: Project, judgement: Judgement, *, confirmed: bool) -> None:
    """Raise Contradiction where the project refuses them, or warns and the annotator did not confirm."""
    refuses = project.consistency == Project.Consistency.BLOCK
    if refuses or (project.consistency == Project.Consistency.WARN and not confirmed):
        axis = project.rating_axes[0]
        pairs = contradictions(judgement.ratings, judgement.slots, axis.name)
        if pairs:
            raise Contradiction(pairs, axis.title)


def check(*, project: Project, images: Iterable[int], judgement: Judgement) -> None:
    """Check that the answer is complete and in range. Raises InvalidJudgement, as its subclasses say."""
    image_ids = set(images)
    unknown = (set(judgement.ratings) | set(judgement.slots)) - image_ids
    if unknown:
        raise UnknownImages("An image is not of this prompt.", sorted(unknown))
    _check_label(project, judgement.label)
    _check_ratings(project, image_ids, judgement.ratings)
    _check_slots(project, image_ids, judgement.slots)
    _check_line(project, judgement.acceptable_slots)


def _check_label(project: Project, label: Label | None) -> None:
    if not project.asks_label:
        if label is not None:
            raise InvalidLabel("This project asks for no label.")
        return
    if label is None:
        raise InvalidLabel("Say what the prompt is about.")
    if label.category not in Category.values:
        raise InvalidLabel(f"{label.category!r} is no category.")
    if not _distinct_values(label.issues, Issue.values):
        raise InvalidLabel("The prompt's issues are unknown or repeated.")


def _check_ratings(project: Project, image_ids: set[int], ratings: Mapping[int, ImageRating]) -> None:
    if not project.asks_ratings:
        if ratings:
            raise InvalidRating("This project asks for no ratings.", sorted(ratings))
        return
    if missing := image_ids - set(ratings):
        raise IncompleteRatings("Rate every image.", sorted(missing))
    low, high = SCALE
    axes = {axis.name for axis in project.rating_axes}
    for pk, rating in ratings.items():
        if rating.points.keys() != axes:
            raise InvalidRating(f"An image is rated on {', '.join(sorted(axes))}, on nothing else.", [pk])
        if not all(low <= point <= high for point in rating.points.values()):
            raise InvalidRating(f"A rating is from {low} to {high}.", [pk])
        if not _distinct_values(rating.problems, Problem.values):
            raise InvalidRating("An image's problems are unknown or repeated.", [pk])


def _check_slots(project: Project, image_ids: set[int], slots: Mapping[int, int]) -> None:
    if missing := image_ids - set(slots):
        raise IncompleteRanking("Place every image.", sorted(missing))
    if outside := [pk for pk, slot in slots.items() if not 1 <= slot <= project.slots]:
        raise SlotOutOfRange(f"Slots are 1 to {project.slots}.", outside)
    filled = Counter(slots.values())
    if crowded := [pk for pk, slot in slots.items() if filled[slot] > project.per_slot]:
        raise SlotOverfull(f"A slot holds {project.per_slot} at most.", crowded)


def _check_line(project: Project, acceptable_slots: int | None) -> None:
    if not project.asks_acceptable:
        if acceptable_slots is not None:
            raise InvalidLine("This project does not ask which images are acceptable.")
        return
    if acceptable_slots is None:
        raise InvalidLine("Say which images are acceptable, or that none is.")
    if not 0 <= acceptable_slots <= project.slots:
        raise InvalidLine(f"Acceptable slots are 0 to {project.slots}.")


def _distinct_values(values: tuple[str, ...], allowed: list[str]) -> bool:
    return len(set(values)) == len(values) and set(values) <= set(allowed)
