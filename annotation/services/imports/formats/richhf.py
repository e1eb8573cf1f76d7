"""Reading RichHF-18K, scores of single images, from its copies in parquet: they rank a prompt's images.

The original TFRecords hold neither images nor prompts, and take TensorFlow to be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from annotation.models import Project
from annotation.models.axes import RICHHF, SCALE
from annotation.services.imports.formats.record import RankingRecord, Reader, rating_columns
from annotation.services.imports.formats.single_images import IMAGE, OURS, Table
from annotation.services.imports.rows import Row

REQUIRED = ("filename", "caption", "overall_score")
MAPS = ("artifact_map", "misalignment_map")  # of heat: 512 x 512 numbers each
PUBLISHED = (IMAGE, "aesthetics_score", "artifact_score", "misalignment_score", *MAPS)
OPTIONAL = (*PUBLISHED, "prompt_misalignment_label", *OURS)


def _read_scores(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    """Yield the records; without slots, the images of a prompt are in the order of overall scores."""
    return TABLE.records(project, map(_checked, rows))


def _checked(row: Row) -> Row:
    row.check_names(required=REQUIRED, optional=(*OPTIONAL, *rating_columns([row], RICHHF).values()))
    return row


def _overall(row: Row) -> float:
    return _score(row, "overall_score")


def _score(row: Row, name: str) -> float:
    """Raises ImportRefused for what is no number from 0 to 1."""
    return row.decimal(name, low=0, high=1)


def _with_points(images: list[Row]) -> list[Row]:
    """Return the rows with points in place of the scores that any of them has."""
    columns = rating_columns(images, RICHHF).values()
    scored = [name for name in columns if any(row.fields.get(name) is not None for row in images)]
    return [row.with_fields({**row.fields, **{name: _point(row, name) for name in scored}}) for row in images]


def _point(row: Row, name: str) -> int:
    """Return the nearest point of a score, the mean of three raters on five points; halves go up."""
    low, high = SCALE
    return int(low + (high - low) * _score(row, name) + 0.5)


TABLE = Table(source="filename", text="caption", papers=RICHHF, score=_overall, with_points=_with_points)
READER = Reader(
    name="richhf",
    fields=("overall_score", "misalignment_score", "artifact_score"),
    read=_read_scores,
    unpack=TABLE.unpack,
    unread=MAPS,
    judges_single_images=True,
)
