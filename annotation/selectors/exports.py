"""Finished rankings with everything that was said in them, in batches, for exports."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import NamedTuple

from django.db.models import Count
from django.utils.crypto import salted_hmac

from annotation.models import Assignment, Generation, Placement, Project, Prompt, Rating
from annotation.models.assignments import AssignmentQuerySet
from annotation.models.judgements import SCALES
from annotation.models.people import IMPORTED

PROMPTS = 250  # in a batch: about what a zip of ImageRewardDB holds
OPINIONS = 1000  # in a batch, roughly: projects that ask for many have smaller batches


@dataclass(frozen=True)
class Selection:
    """Which finished rankings: accepted later than `after` and not later than `until`."""

    project: Project
    until: datetime
    after: datetime | None = None

    def assignments(self) -> AssignmentQuerySet:
        chosen = Assignment.objects.finished().filter(project=self.project, accepted_at__lte=self.until)
        return chosen.filter(accepted_at__gt=self.after) if self.after else chosen


class ExportedImage(NamedTuple):
    """An image as one annotator judged it. Ratings are None where the project asked for none.

    `sha256`, `file` (its name in default_storage) and `format` are None where the file was never had.
    `problems` is None where it is not known whether there are any.
    """

    source: str
    generator: str
    sha256: str | None
    file: str | None
    format: str | None
    slot: int
    overall: int | None
    alignment: int | None
    fidelity: int | None
    problems: list[str] | None

    @property
    def stored_name(self) -> str | None:
        """A name that says what the bytes are, and is the same wherever they are exported."""
        return self.sha256 and f"{self.sha256}.{self.format}"


class ExportedRanking(NamedTuple):
    """One accepted opinion, its images in the order in which its annotator, or the imported file, had them.

    `published_split` is the prompt's; empty where no dataset published it in one.
    `annotator` is a pseudonym: the same in every export of the project, another in every other project.
    `guideline` is the version that held when it was given: 0 before the first, None where it was imported.
    `category` is empty, `intent_unclear` and `issues` are None, where they are not known.
    """

    assignment: int
    key: str
    text: str
    published_split: str
    annotator: str
    submitted_at: datetime
    guideline: int | None
    category: str
    intent_unclear: bool | None
    issues: list[str] | None
    images: tuple[ExportedImage, ...]

    @property
    def slots(self) -> list[int]:
        return [image.slot for image in self.images]

    def pairs(self) -> Iterator[tuple[ExportedImage, ExportedImage]]:
        """Every two images, ties included, in the order of the images."""
        return combinations(self.images, 2)


class Extent(NamedTuple):
    """How much a selection holds. `most_opinions` is of the prompt that has most."""

    rankings: int
    prompts: int
    annotators: int
    most_opinions: int


class Batch(NamedTuple):
    """Some prompts' rankings, those of a prompt together; `last` is the highest prompt id."""

    last: int
    rankings: list[ExportedRanking]


def extent(selection: Selection) -> Extent:
    """Counted in two statements."""
    chosen = selection.assignments().order_by()
    counts = chosen.aggregate(
        rankings=Count("pk"),
        prompts=Count("prompt", distinct=True),
        annotators=Count("annotator", distinct=True),
    )
    most = chosen.values("prompt").annotate(held=Count("pk")).order_by("-held").values_list("held", flat=True)
    return Extent(**counts, most_opinions=most.first() or 0)


def batches(selection: Selection, *, after: int = 0) -> Iterator[Batch]:
    """Every ranking of the selection, by prompt id; memory is that of one batch.

    Args: after: prompts up to this id are passed over, so that an interrupted export can go on.
    """
    project = selection.project
    versions = list(project.guidelines.order_by("created_at").values_list("created_at", "version"))
    size = max(1, min(PROMPTS, OPINIONS // project.opinions_per_prompt))
    prompts = Prompt.objects.filter(project=project).order_by("pk")
    fields = ("pk", "key", "text", "published_split")
    while rows := list(prompts.filter(pk__gt=after).values_list(*fields)[:size]):
        after = rows[-1][0]
        yield Batch(after, _rankings(selection, rows, versions))


def pseudonym(project: Project, annotator: int) -> str:
    """Twelve hexadecimal digits that tell a project's annotators apart and lead back to nobody."""
    return salted_hmac("annotation.exports", f"{project.pk}:{annotator}", algorithm="sha256").hexdigest()[:12]


def _rankings(
    selection: Selection, prompts: list[tuple[int, str, str, str]], versions: list[tuple[datetime, int]]
) -> list[ExportedRanking]:
    """The opinions on these prompts, by prompt and assignment id; four statements."""
    texts = {row[0]: row[1:] for row in prompts}
    opinions = list(
        selection.assignments()
        .filter(prompt__in=texts)
        .order_by("prompt", "pk")
        .values_list(
            *("pk", "prompt_id", "annotator_id", "annotator__username", "submitted_at"),
            *("label__category", "label__intent_unclear", "label__issues"),
        )
    )
    images = _images([row[0] for row in opinions], list(texts))
    begins = [moment for moment, _ in versions]
    return [
        ExportedRanking(
            assignment,
            *texts[prompt],
            pseudonym(selection.project, annotator),
            submitted,
            None if username.startswith(IMPORTED) else _version(versions, bisect_right(begins, submitted)),
            category or "",
            unclear,
            issues,
            tuple(images[assignment]),
        )
        for assignment, prompt, annotator, username, submitted, category, unclear, issues in opinions
        if assignment in images
    ]


def _version(versions: list[tuple[datetime, int]], begun: int) -> int:
    """The version that held when `begun` of them had been published."""
    return versions[begun - 1][1] if begun else 0


def _images(assignments: list[int], prompts: list[int]) -> dict[int, list[ExportedImage]]:
    """Assignment id -> its images as they were placed."""
    files = {
        row[0]: row[1:]
        for row in Generation.objects.filter(prompt__in=prompts).values_list(
            "pk", "source", "generator", "image_id", "image__file", "image__format"
        )
    }
    ratings = {
        row[:2]: row[2:]
        for row in Rating.objects.filter(assignment__in=assignments)
        .order_by()
        .values_list("assignment_id", "generation_id", *SCALES, "problems")
    }
    placements = (
        Placement.objects.filter(ranking__assignment__in=assignments)
        .order_by("ranking__assignment", "pk")
        .values_list("ranking__assignment_id", "generation_id", "slot")
    )
    images: dict[int, list[ExportedImage]] = defaultdict(list)
    unrated = (None, None, None, None)
    for assignment, generation, slot in placements:
        said = ratings.get((assignment, generation), unrated)
        images[assignment].append(ExportedImage(*files[generation], slot, *said))
    return dict(images)
