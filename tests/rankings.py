"""Accepted rankings written straight into the database: many prompts, many people, in a moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from annotation.models import Assignment, Generation, Placement, Project, Prompt, Ranking, Rating, User
from tests.cast import NOW


def add_images(project: Project, prompts: int, generators: Sequence[str]) -> list[list[Generation]]:
    """For each new prompt one image by each generator, without a file."""
    made = Prompt.objects.bulk_create(
        Prompt(project=project, key=f"k{number}", text=f"a fox, take {number}") for number in range(prompts)
    )
    images = Generation.objects.bulk_create(
        Generation(prompt=prompt, source=f"{number}.png", generator=generator)
        for prompt in made
        for number, generator in enumerate(generators)
    )
    size = len(generators)
    return [images[start : start + size] for start in range(0, len(images), size)]


def rank_images(
    annotator: User,
    ranked: Iterable[tuple[Sequence[Generation], Sequence[int]]],
    ratings: Mapping[int, int] | None = None,
    state: str = Assignment.State.ACCEPTED,
    kind: str = Assignment.Kind.ORDINARY,
    against: Assignment | None = None,
) -> None:
    """One answer by the annotator for each prompt's images and their slots.

    `ratings` are by generation id, the same on all scales.
    """
    ranked = list(ranked)
    assignments = Assignment.objects.bulk_create(
        Assignment(
            project=images[0].prompt.project,
            prompt=images[0].prompt,
            annotator=annotator,
            state=state,
            kind=kind,
            against=against,
            leased_until=NOW,
            order=[image.pk for image in images],
            submitted_at=NOW,
            accepted_at=NOW if state == Assignment.State.ACCEPTED else None,
        )
        for images, _ in ranked
    )
    rankings = Ranking.objects.bulk_create(Ranking(assignment=assignment) for assignment in assignments)
    Placement.objects.bulk_create(
        Placement(ranking=ranking, generation=image, slot=slot)
        for ranking, (images, slots) in zip(rankings, ranked, strict=True)
        for image, slot in zip(images, slots, strict=True)
    )
    Rating.objects.bulk_create(
        Rating(assignment=assignment, generation=image, overall=star, alignment=star, fidelity=star)
        for assignment, (images, _) in zip(assignments, ranked, strict=True)
        for image in images
        if (star := (ratings or {}).get(image.pk))
    )
