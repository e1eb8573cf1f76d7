"""Finished rankings, ratings and labels: the interface by which other apps read judgements."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from django.db import transaction

from annotation.models import Assignment, Category, Generation, Placement, Project, PromptLabel, Rating

CHUNK = 5000  # placements fetched at a time


@dataclass(frozen=True)
class RankedImage:
    """One image of a ranking. Hash and file (its name in default_storage) are None where there is no file."""

    generation_id: int
    sha256: str | None
    file: str | None
    source: str


@dataclass(frozen=True)
class FinishedRanking:
    """One accepted ranking: `slots[i]` is the slot of `images[i]`, 1 is best, equal slots tie.

    Images are in the order shown to the annotator, or of the imported file.
    """

    assignment_id: int
    prompt_id: int
    prompt_key: str
    prompt_text: str
    images: tuple[RankedImage, ...]
    slots: tuple[int, ...]
    published_split: str = ""  # of the prompt; empty where no dataset published it in one


def finished_rankings(project: Project, *, until: datetime | None = None) -> Iterator[FinishedRanking]:
    """Yield every accepted ranking of the project, by assignment id; streamed within a transaction.

    Args: until: those accepted later are left out.
    """
    accepted = Placement.objects.filter(
        ranking__assignment__project=project,
        ranking__assignment__kind=Assignment.Kind.ORDINARY,
        ranking__assignment__state=Assignment.State.ACCEPTED,
    )
    if until is not None:
        accepted = accepted.filter(ranking__assignment__accepted_at__lte=until)
    rows = accepted.order_by("ranking__assignment", "pk").values_list(
        "ranking__assignment_id",
        "generation__prompt_id",
        "generation__prompt__key",
        "generation__prompt__text",
        "generation__prompt__published_split",
        "slot",
        "generation_id",
        "generation__image_id",
        "generation__image__file",
        "generation__source",
    )
    for (assignment, prompt, key, text, split), placements in groupby(
        rows.iterator(chunk_size=CHUNK), key=itemgetter(0, 1, 2, 3, 4)
    ):
        images = list(placements)
        yield FinishedRanking(
            assignment,
            prompt,
            key,
            text,
            images=tuple(RankedImage(*row[6:]) for row in images),
            slots=tuple(row[5] for row in images),
            published_split=split,
        )


@dataclass(frozen=True)
class RatedImage:
    """The rating of one image in one accepted judgement, None on an axis that has no point.

    `problems` is None where it is not known.
    """

    alignment: int | None
    fidelity: int | None
    problems: tuple[str, ...] | None


def finished_ratings(project: Project, *, until: datetime | None = None) -> dict[tuple[int, int], RatedImage]:
    """Return the ratings of the assignments of `finished_rankings`, by assignment and generation id.

    Args: until: those accepted later are left out.
    """
    accepted = Rating.objects.filter(
        assignment__project=project,
        assignment__kind=Assignment.Kind.ORDINARY,
        assignment__state=Assignment.State.ACCEPTED,
    )
    if until is not None:
        accepted = accepted.filter(assignment__accepted_at__lte=until)
    rows = accepted.values_list("assignment_id", "generation_id", "alignment", "fidelity", "problems")
    with transaction.atomic(savepoint=False):  # so that rows are streamed
        return {
            (assignment, generation): RatedImage(
                alignment, fidelity, None if problems is None else tuple(problems)
            )
            for assignment, generation, alignment, fidelity, problems in rows.iterator(chunk_size=CHUNK)
        }


def count_finished(project: Project) -> int:
    """Return the number of rankings that `finished_rankings` yields."""
    return Assignment.objects.finished().filter(project=project).count()


@dataclass(frozen=True)
class PromptFacts:
    """A ranked prompt's facts: the label of its category, or ""; and each image's generator by its hash."""

    category: str
    generators: Mapping[str, str]


def facts_of_rankings(project: Project, assignments: Collection[int]) -> dict[int, PromptFacts]:
    """Return the facts by assignment id; assignments of other projects are left out.

    The category is the one that most accepted labels name; on a tie, the first in the list of categories.
    """
    prompt_of = dict(
        Assignment.objects.filter(project=project, pk__in=assignments).values_list("pk", "prompt_id")
    )
    prompts = set(prompt_of.values())
    categories: dict[int, Counter[str]] = defaultdict(Counter)
    labels = PromptLabel.objects.filter(
        assignment__prompt__in=prompts, assignment__state=Assignment.State.ACCEPTED
    )
    for prompt, category in labels.values_list("assignment__prompt_id", "category"):
        categories[prompt][category] += 1
    generators: dict[int, dict[str, str]] = defaultdict(dict)
    generations = Generation.objects.filter(prompt__in=prompts, image__isnull=False)
    for prompt, sha256, generator in generations.values_list("prompt_id", "image_id", "generator"):
        generators[prompt][sha256] = generator
    facts = {
        prompt: PromptFacts(_most_frequent(categories[prompt]), generators[prompt]) for prompt in prompts
    }
    return {assignment: facts[prompt] for assignment, prompt in prompt_of.items()}


def _most_frequent(counts: Counter[str]) -> str:
    """Return the label of the most frequent category, or ""."""
    categories = [category for category in Category if counts[category]]
    return str(max(categories, key=lambda category: counts[category]).label) if categories else ""
