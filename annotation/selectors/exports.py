"""Finished rankings with labels and ratings, read in batches for exports."""

from __future__ import annotations

import hmac
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from operator import itemgetter
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count

from annotation.models import Assignment, Generation, Placement, Project, Prompt, Rating
from annotation.models.assignments import AssignmentQuerySet
from annotation.models.axes import FIELDS, points_of
from annotation.models.people import IMPORTED

PROMPTS = 250  # in a batch: about as many as in a zip of ImageRewardDB
DECIMALS = 1  # of seconds
RANKINGS = 1000  # in a batch, roughly: projects with many rankings per prompt have smaller batches


@dataclass(frozen=True)
class Selection:
    """The finished rankings of a project that were accepted after `after`, up to and including `until`."""

    project: Project
    until: datetime
    after: datetime | None = None

    def assignments(self) -> AssignmentQuerySet:
        selected = Assignment.objects.finished().filter(project=self.project, accepted_at__lte=self.until)
        return selected.filter(accepted_at__gt=self.after) if self.after else selected


class ExportedImage(NamedTuple):
    """An image as one annotator judged it: `points` by axis, {} where it was not rated.

    `sha256`, `file` (its name in default_storage) and `format` are None where the project has no file of it.
    `problems` is None where unknown. `position` is the place on the page, from 1; None where unknown.
    """

    source: str
    generator: str
    sha256: str | None
    file: str | None
    format: str | None
    slot: int
    position: int | None
    points: Mapping[str, int]
    problems: list[str] | None

    @property
    def stored_name(self) -> str | None:
        """HASH.FORMAT: the same bytes have the same name in every export. None without a file."""
        return self.sha256 and f"{self.sha256}.{self.format}"


class ExportedRanking(NamedTuple):
    """One accepted ranking, its images in the order shown to its annotator, or of the imported file.

    `published_split` is the prompt's; empty where no dataset published it in a split.
    `annotator` is a pseudonym: the same in every export of the project, another in every other project.
    `guideline` is the version in force when it was given: 0 before the first, None where it was imported.
    If unknown, `category` is empty, and `intent_unclear`, `issues` and `seconds` are None.
    `seconds` run from showing the task to its first answer, absences included. Images in slots 1 to
    `acceptable_slots` are acceptable, none when 0; None where it was not asked.
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
    seconds: float | None
    acceptable_slots: int | None
    images: tuple[ExportedImage, ...]

    @property
    def slots(self) -> list[int]:
        return [image.slot for image in self.images]

    @property
    def positions(self) -> list[int] | None:
        """Where each image stood on the page, from 1; None where unknown."""
        positions = [image.position for image in self.images if image.position]
        return positions if len(positions) == len(self.images) else None

    @property
    def known_numbers(self) -> dict[str, float]:
        """`seconds` and `acceptable_slots` as fields of JSON, as far as known."""
        fields = {"seconds": self.seconds, "acceptable_slots": self.acceptable_slots}
        return {name: value for name, value in fields.items() if value is not None}

    def pairs(self) -> Iterator[tuple[ExportedImage, ExportedImage]]:
        """Yield every two images, ties included, in the order of the images."""
        return combinations(self.images, 2)


class Extent(NamedTuple):
    """The size of a selection. `most_per_prompt` is the number of rankings of the prompt with the most."""

    rankings: int
    prompts: int
    annotators: int
    most_per_prompt: int


class Batch(NamedTuple):
    """All rankings of some prompts, by prompt; `last` is the highest prompt id."""

    last: int
    rankings: list[ExportedRanking]


def extent(selection: Selection) -> Extent:
    """Return the size of the selection; two queries."""
    assignments = selection.assignments().order_by()
    counts = assignments.aggregate(
        rankings=Count("pk"),
        prompts=Count("prompt", distinct=True),
        annotators=Count("annotator", distinct=True),
    )
    per_prompt = assignments.values("prompt").annotate(rankings=Count("pk")).order_by("-rankings")
    return Extent(**counts, most_per_prompt=per_prompt.values_list("rankings", flat=True).first() or 0)


def batches(selection: Selection, *, after: int = 0) -> Iterator[Batch]:
    """Yield every ranking of the selection, by prompt id, with one batch in memory at a time.

    Args: after: skip prompts up to this id, to resume an interrupted export.
    """
    project = selection.project
    versions = list(project.guidelines.order_by("created_at").values_list("created_at", "version"))
    size = max(1, min(PROMPTS, RANKINGS // project.opinions_per_prompt))
    prompts = Prompt.objects.filter(project=project).order_by("pk")
    fields = ("pk", "key", "text", "published_split")
    while rows := list(prompts.filter(pk__gt=after).values_list(*fields)[:size]):
        after = rows[-1][0]
        yield Batch(after, _rankings(selection, rows, versions))


def pseudonym(project: Project, annotator: int) -> str:
    """Return twelve hexadecimal digits that identify the annotator within this project only."""
    person = f"{project.pk}:{annotator}".encode()
    return hmac.digest(settings.PSEUDONYM_KEY, person, "sha256").hex()[:12]


def _rankings(
    selection: Selection, prompts: list[tuple[int, str, str, str]], versions: list[tuple[datetime, int]]
) -> list[ExportedRanking]:
    """Return the rankings of these prompts, by prompt and assignment id; four queries."""
    texts = {row[0]: row[1:] for row in prompts}
    answers = list(
        selection.assignments()
        .filter(prompt__in=texts)
        .select_related("annotator", "label", "ranking")
        .order_by("prompt", "pk")
    )
    images = _images(answers, list(texts))
    return [
        _ranking(selection.project, answer, texts[answer.prompt_id], images[answer.pk], versions)
        for answer in answers
        if answer.pk in images
    ]


def _ranking(
    project: Project,
    answer: Assignment,
    prompt: tuple[str, str, str],
    images: list[ExportedImage],
    versions: list[tuple[datetime, int]],
) -> ExportedRanking:
    """Args: prompt: key, text and published split; versions: of the guideline, by publication."""
    assert answer.annotator_id
    assert answer.annotator
    assert answer.submitted_at
    label = getattr(answer, "label", None)
    is_imported = answer.annotator.username.startswith(IMPORTED)
    return ExportedRanking(
        answer.pk,
        *prompt,
        annotator=pseudonym(project, answer.annotator_id),
        submitted_at=answer.submitted_at,
        guideline=None if is_imported else _version_at(answer.submitted_at, versions),
        category=label.category if label else "",
        intent_unclear=label.intent_unclear if label else None,
        issues=label.issues if label else None,
        seconds=None if answer.seconds is None else round(answer.seconds, DECIMALS),
        acceptable_slots=answer.ranking.acceptable_slots,
        images=tuple(images),
    )


def _version_at(moment: datetime, versions: list[tuple[datetime, int]]) -> int:
    """Return the guideline in force at the moment; 0 before the first. Args: versions: by publication."""
    published = bisect_right(versions, moment, key=itemgetter(0))
    return versions[published - 1][1] if published else 0


def _images(answers: list[Assignment], prompts: list[int]) -> dict[int, list[ExportedImage]]:
    """Return the images of each answer, by its id, in the order in which they were placed."""
    orders = {answer.pk: answer.order for answer in answers if answer.is_order_shown}
    files = {
        row[0]: row[1:]
        for row in Generation.objects.filter(prompt__in=prompts).values_list(
            "pk", "source", "generator", "image_id", "image__file", "image__format"
        )
    }
    ratings = {
        row[:2]: (points_of(*row[2:-1]), row[-1])
        for row in Rating.objects.filter(assignment__in=answers)
        .order_by()
        .values_list("assignment_id", "generation_id", *FIELDS, "problems")
    }
    placements = (
        Placement.objects.filter(ranking__assignment__in=answers)
        .order_by("ranking__assignment", "pk")
        .values_list("ranking__assignment_id", "generation_id", "slot")
    )
    images: dict[int, list[ExportedImage]] = defaultdict(list)
    unrated: tuple[dict[str, int], None] = ({}, None)
    for assignment, generation, slot in placements:
        rating = ratings.get((assignment, generation), unrated)
        order = orders.get(assignment)
        position = order.index(generation) + 1 if order else None
        images[assignment].append(ExportedImage(*files[generation], slot, position, *rating))
    return dict(images)
