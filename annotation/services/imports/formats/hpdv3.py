"""Reading HPD v3: pairs of images, of which the first is preferred."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from annotation.models import Project
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.chosen_pairs import ChosenPair, read_chosen_pairs
from annotation.services.imports.formats.record import RankingRecord, Reader
from annotation.services.imports.rows import Row

# As in the README of its repository, github.com/MizzenAI/HPSv3: all.json, train.json and test.json.
REQUIRED = ("prompt", "path1", "path2")
PUBLISHED = ("choice_dist", "confidence", "model1", "model2", "id")
OURS = (
    *("prompt_id", "annotator", "source1", "source2", "has_file1", "has_file2"),
    *("slot1", "slot2", "position1", "position2", "seconds", "acceptable_slots"),
)


def _read_pairs(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    """Published pairs are rankings of two: who gave them is not in the file."""
    yield from read_chosen_pairs(project, map(_pair, rows))


def _pair(row: Row) -> ChosenPair:
    row.check_names(required=REQUIRED, optional=(*PUBLISHED, *OURS))
    is_ours = "slot1" in row.fields
    names = ("source1", "source2") if is_ours else ("path1", "path2")
    return ChosenPair(
        row=row,
        key=row.text("prompt_id", longest=KEY_LENGTH) if is_ours else row.name,
        sources=tuple(row.text(name, longest=SOURCE_LENGTH) for name in names),  # type: ignore[arg-type]
        files=tuple(_file(row, number) for number in (1, 2)),  # type: ignore[arg-type]
        slots=("slot1", "slot2") if is_ours else None,
        generators=("model1", "model2"),
        positions=("position1", "position2"),
    )


def _file(row: Row, number: int) -> str | None:
    if row.fields.get(f"has_file{number}") is False:
        return None
    return row.text(f"path{number}", longest=SOURCE_LENGTH)


READER = Reader(name="hpdv3", fields=("path1",), read=_read_pairs)
