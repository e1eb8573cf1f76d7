"""The images of a study, side by side, with the votes on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from annotation.models import Category, Generation
from refl.models import Generator, StudyTask
from refl.selectors.study_answers import Answers, category_of


@dataclass(frozen=True)
class StudyImage:
    """An image as the gallery shows it. Width and height are in pixels.

    `score` is the reward that `scored_by` gave it, `percentile` and `preferred` say where that stands
    (`rewardmodel.learning.reference.Standing`); None where they are not known.
    """

    generator: Generator
    token: UUID
    sha256: str
    file: str
    format: str
    width: int
    height: int
    is_flagged: bool
    score: float | None
    scored_by: str
    percentile: float | None
    preferred: float | None


class Votes(NamedTuple):
    """Votes on one image, against the base's of the same prompt and seed."""

    wins: int
    losses: int
    ties: int


@dataclass(frozen=True)
class GalleryRow:
    """The images of one prompt and seed, in the order of the generators; None where one is gone.

    `votes` has one entry for each generator; the base's is None.
    """

    prompt: str
    category: str
    seed: int
    images: list[StudyImage | None]
    votes: list[Votes | None]


def gallery_of(answers: Answers) -> list[GalleryRow]:
    """Return one row for each prompt and seed, in the order of the prompts."""
    categories = category_of(answers)
    tasks: dict[tuple[int, int], list[StudyTask]] = defaultdict(list)
    for task in answers.tasks.values():
        tasks[task.caption, task.seed].append(task)
    images: dict[tuple[int, int], dict[int, StudyImage]] = defaultdict(dict)
    for generation in answers.images.values():
        if generation.image is not None:
            task, place = answers.tasks[generation.prompt_id], answers.places[generation.generator]
            images[task.caption, task.seed][place] = _image(generation, answers.generators[place])
    votes: dict[tuple[int, int, int], Counter[float]] = defaultdict(Counter)
    for vote in answers.votes:
        if vote.first == 0:
            votes[vote.task.caption, vote.task.seed, vote.second][vote.vote] += 1
    rows = []
    for (prompt, seed), its_tasks in sorted(tasks.items()):
        if images[prompt, seed]:
            rows.append(
                GalleryRow(
                    prompt=its_tasks[0].prompt.text,
                    category=str(Category(categories[prompt]).label) if categories[prompt] else "",
                    seed=seed,
                    images=[images[prompt, seed].get(place) for place in range(len(answers.generators))],
                    votes=[
                        None if place == 0 else _votes(votes[prompt, seed, place])
                        for place in range(len(answers.generators))
                    ],
                )
            )
    return rows


def _votes(counts: Counter[float]) -> Votes:
    return Votes(counts[1.0], counts[0.0], counts[0.5])


def _image(generation: Generation, generator: Generator) -> StudyImage:
    image = generation.image
    assert image is not None
    assert image.file.name is not None
    return StudyImage(
        generator=generator,
        token=image.token,
        sha256=image.sha256,
        file=image.file.name,
        format=image.format,
        width=image.width,
        height=image.height,
        is_flagged=generation.is_flagged,
        score=generation.score,
        scored_by=generation.scored_by,
        percentile=generation.score_percentile,
        preferred=generation.score_preferred,
    )
