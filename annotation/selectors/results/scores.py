"""What a reward model says of a project's images: the best, the worst, and where people disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet

from annotation.models import Assignment, Generation, Placement, Project
from annotation.selectors.projects.images import PICTURE, Picture, judged_images

SCORE = ("score", "score_percentile", "score_preferred")  # as a ScoredPicture has them
LOOKED_AT = 300  # prompts searched for disagreements, so that a page waits no longer in a large project; ours
PAIRS_OF_PROMPT = 6  # fetched for each pair wanted, because a prompt is shown once
CLEAR = 3  # votes for one image for each vote for the other, from which on people decided clearly; ours


@dataclass(frozen=True)
class ScoredPicture:
    """An image with the model's score: higher is better, no unit.

    Attributes:
        percentile: 0 to 100, among the images that the model was validated on; None where it does not know.
        preferred: 0 to 1, how probably people prefer it to the base's; None as well.
    """

    picture: Picture
    score: float
    percentile: float | None = None
    preferred: float | None = None


@dataclass(frozen=True)
class Disagreement:
    """A pair of images of one prompt that people and the model order differently.

    `votes` are of the image that people prefer, `other_votes` of the other; ties are no votes. `is_unseen`:
    the model has not learned from the prompt.
    """

    preferred: ScoredPicture
    other: ScoredPicture
    votes: int
    other_votes: int
    is_unseen: bool


def count_scored(project: Project, model: str) -> tuple[int, int]:
    """Count the project's images with files: (those that this model scored last, all)."""
    images = Generation.objects.collected().filter(prompt__project=project, image__isnull=False)
    counts = images.aggregate(scored=Count("pk", filter=Q(scored_by=model)), images=Count("pk"))
    return counts["scored"], counts["images"]


def extreme_images(project: Project, model: str, *, count: int, lowest: bool = False) -> list[ScoredPicture]:
    """Return the images that the model ranks highest, best first; or lowest, worst first. In one query."""
    scored = _scored(project, model).order_by("score" if lowest else "-score", "pk")
    rows = scored.values_list(*PICTURE, *SCORE)[:count]
    return [_scored_picture(row) for row in rows]


def best_images(models: Mapping[int, str], *, count: int) -> dict[int, list[Picture]]:
    """Return the images that each project's model ranks highest, best first, by project id; in one query.

    Args: models: the name of the model by the id of its project.
    """
    ranked = [
        _scored(project, model)
        .order_by("-score", "pk")
        .values_list("prompt__project", "score", *PICTURE)[:count]
        for project, model in models.items()
    ]
    if not ranked:
        return {}
    best: dict[int, list[Picture]] = {}
    for project, _, *fields in sorted(ranked[0].union(*ranked[1:]), key=lambda row: (-row[1], row[2])):
        best.setdefault(project, []).append(Picture(*fields))
    return best


def disagreements(project: Project, model: str, *, count: int) -> list[Disagreement]:
    """Return pairs that people decided clearly and the model the other way, the furthest apart first.

    People decided clearly where at least CLEAR times as many prefer the one as the other. Pairs are ordered
    by the distance of the two scores times the votes by which people were apart, one of each prompt; those
    of prompts that the model has not learned from come before all others. Only the LOOKED_AT prompts with
    accepted answers on whose images the model's scores are furthest apart are looked at. In three queries.
    """
    rows = _opposed(project, model, unseen=True, count=count)
    if len(rows) < count:
        rows += _opposed(project, model, unseen=False, count=count - len(rows))
    ids = {pk for row in rows for pk in (row.preferred, row.other)}
    scored = judged_images().filter(pk__in=ids).values_list(*PICTURE, *SCORE)
    pictures = {image.picture.generation: image for image in map(_scored_picture, scored)}
    return [
        Disagreement(
            pictures[row.preferred],
            pictures[row.other],
            row.votes,
            row.other_votes,
            row.is_unseen,
        )
        for row in rows
    ]


def _scored_picture(row: tuple[Any, ...]) -> ScoredPicture:
    """Args: row: the values of PICTURE and SCORE."""
    return ScoredPicture(Picture(*row[: len(PICTURE)]), *row[len(PICTURE) :])


def _scored(project: Project | int, model: str) -> QuerySet[Generation]:
    """Return the project's images with a file and a score of this model; those of studies left out."""
    images = judged_images().filter(prompt__project=project, prompt__is_of_study=False)
    return images.filter(scored_by=model, score__isnull=False, image__isnull=False)


@dataclass(frozen=True)
class _Row:
    preferred: int  # generation ids
    other: int
    votes: int
    other_votes: int
    is_unseen: bool


def _opposed(project: Project, model: str, *, unseen: bool, count: int) -> list[_Row]:
    """Return pairs that people decided clearly, against the model, of prompts that are unseen or are not."""
    accepted = Placement.objects.filter(
        generation__prompt__in=_widest(project, model, unseen=unseen),
        ranking__assignment__project=project,
        ranking__assignment__kind=Assignment.Kind.ORDINARY,
        ranking__assignment__state=Assignment.State.ACCEPTED,
        generation__scored_by=model,
        generation__scored_unseen=unseen,
        generation__image__isnull=False,
        # The other image of the pair, which the model ranks higher.
        ranking__placements__generation__scored_by=model,
        ranking__placements__generation__image__isnull=False,
        ranking__placements__generation__score__gt=F("generation__score"),
    )
    pairs = (
        accepted.order_by()
        .values("generation", "ranking__placements__generation")
        .annotate(
            prompt=F("generation__prompt"),
            margin=F("ranking__placements__generation__score") - F("generation__score"),
            votes=Count("pk", filter=Q(slot__lt=F("ranking__placements__slot"))),
            other_votes=Count("pk", filter=Q(slot__gt=F("ranking__placements__slot"))),
        )
        .filter(votes__gte=CLEAR * F("other_votes"), votes__gt=0)
        .annotate(apart=(F("votes") - F("other_votes")) * F("margin"))
        .order_by("-apart", "generation", "ranking__placements__generation")
    )
    rows = pairs.values_list(
        "prompt",
        "generation",
        "ranking__placements__generation",
        "votes",
        "other_votes",
    )
    first: dict[int, _Row] = {}
    for prompt, preferred, other, votes, other_votes in rows[: PAIRS_OF_PROMPT * count]:
        first.setdefault(prompt, _Row(preferred, other, votes, other_votes, unseen))
    return list(first.values())[:count]


def _widest(project: Project, model: str, *, unseen: bool) -> QuerySet[Generation, int]:
    """Return the ids of the prompts with accepted answers whose scores are furthest apart."""
    answered = Assignment.objects.finished().filter(project=project).values("prompt")
    scored = Generation.objects.filter(
        prompt__in=answered, scored_by=model, scored_unseen=unseen, image__isnull=False
    )
    widest = scored.order_by().values("prompt").annotate(width=Max("score") - Min("score"))
    return widest.order_by("-width", "prompt").values_list("prompt", flat=True)[:LOOKED_AT]
