"""Finished rankings: the one door by which the rewardmodel app reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from annotation.models import Assignment, Placement, Project

CHUNK = 5000  # placements fetched at a time


@dataclass(frozen=True)
class RankedImage:
    """One image of a ranking. Hash and file (its name in default_storage) are None where it was never had."""

    generation_id: int
    sha256: str | None
    file: str | None
    source: str


@dataclass(frozen=True)
class FinishedRanking:
    """One accepted opinion: `slots[i]` is where `images[i]` stands, 1 is best, equal slots tie.

    Images are in the order in which the annotator, or the imported file, had them.
    """

    assignment_id: int
    prompt_id: int
    prompt_key: str
    prompt_text: str
    images: tuple[RankedImage, ...]
    slots: tuple[int, ...]
    published_split: str = ""  # of the prompt; empty where no dataset published it in one


def finished_rankings(project: Project, *, until: datetime | None = None) -> Iterator[FinishedRanking]:
    """Every accepted ranking of the project, by assignment id, streamed: memory stays flat.

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
        placed = list(placements)
        yield FinishedRanking(
            assignment,
            prompt,
            key,
            text,
            images=tuple(RankedImage(*row[6:]) for row in placed),
            slots=tuple(row[5] for row in placed),
            published_split=split,
        )


def count_finished(project: Project) -> int:
    """How many rankings `finished_rankings` would give."""
    return Assignment.objects.finished().filter(project=project).count()
