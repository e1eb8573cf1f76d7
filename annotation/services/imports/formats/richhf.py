"""Reading RichHF-18K, scores of single images, from its copies in parquet: they rank a prompt's images.

The original TFRecords hold neither images nor prompts, and take TensorFlow to be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from annotation.models import Issue, Problem, Project
from annotation.models.axes import RICHHF, SCALE
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.pictures import PictureFolder, file_name, unpack_tables
from annotation.services.imports.formats.record import (
    RankingRecord,
    Reader,
    acceptable_slots,
    annotator,
    category,
    check_same,
    choices,
    distinct,
    flag,
    generator,
    group_rows,
    positions,
    rating_columns,
    ratings,
    seconds,
)
from annotation.services.imports.rows import Row
from annotation.services.projects.prompts import own_id

REQUIRED = ("filename", "caption", "overall_score")
MAPS = ("artifact_map", "misalignment_map")  # of heat: 512 x 512 numbers each
PUBLISHED = ("image", "aesthetics_score", "artifact_score", "misalignment_score", *MAPS)
OF_RANKING = ("category", "intent_unclear", "issues", "seconds", "acceptable_slots")
OURS = ("prompt_id", "annotator", "slot", "generator", "problems", "position", *OF_RANKING)
OPTIONAL = (*PUBLISHED, "prompt_misalignment_label", *OURS)


def _read_scores(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    """Yield a record per prompt and annotator; without slots, the images are in the order of overall scores.

    Published scores are means of three raters on five points: they are rounded to the nearest of ours.
    """
    for images in group_rows(map(_checked, rows), lambda row: (_key(row), annotator(row, "annotator"))):
        first = images[0]
        key = _key(first)
        check_same(images, ("caption", *OF_RANKING))
        columns = rating_columns(images, RICHHF)
        scored = [
            name for name in columns.values() if any(row.fields.get(name) is not None for row in images)
        ]
        stars = ratings(project, [_points(row, scored) for row in images], columns)
        sources = distinct(images, "filename", longest=SOURCE_LENGTH)
        yield RankingRecord(
            row=first,
            key=key,
            text=first.text("caption"),
            sources=sources,
            slots=_slots(project, images),
            annotator=annotator(first, "annotator"),
            category=category(first, "category"),
            intent_unclear=flag(first, "intent_unclear"),
            issues=choices(first, "issues", Issue.values),
            ratings=stars,
            problems=tuple(choices(row, "problems", Problem.values) for row in images) if stars else (),
            generators=tuple(generator(row, "generator") for row in images),
            files=tuple(_file(row, key) for row in images),
            positions=positions(first, [row.fields.get("position") for row in images]),
            seconds=seconds(first),
            acceptable_slots=acceptable_slots(first, project),
        )


def _file(row: Row, key: str) -> str | None:
    """Return the name that the picture is unpacked under; None without one, the path without its column."""
    source: str = row.fields["filename"]
    if "image" not in row.fields:
        return source
    return None if row.fields["image"] is None else file_name(key, source)


def _checked(row: Row) -> Row:
    row.check_names(required=REQUIRED, optional=(*OPTIONAL, *rating_columns([row], RICHHF).values()))
    return row


def _key(row: Row) -> str:
    """Return the prompt id of our exports, else one that follows from the text."""
    if row.fields.get("prompt_id") is None:
        return own_id(row.text("caption"))
    return row.text("prompt_id", longest=KEY_LENGTH)


def _slots(project: Project, images: list[Row]) -> list[int]:
    """Return the slots of our exports, else places by overall score: equal scores tie."""
    if images[0].fields.get("slot") is not None:
        return [row.integer("slot", low=1, high=project.slots) for row in images]
    scores = [_score(row, "overall_score") for row in images]
    best_first = sorted(set(scores), reverse=True)
    return [best_first.index(score) + 1 for score in scores]


def _score(row: Row, name: str) -> float:
    """Raises ImportRefused for what is no number from 0 to 1."""
    return row.decimal(name, low=0, high=1)


def _points(row: Row, columns: Iterable[str]) -> Row:
    """Return the row with points in place of scores: 0 is the lowest and 1 the highest; halves go up."""
    low, high = SCALE
    points = {name: int(low + (high - low) * _score(row, name) + 0.5) for name in columns}
    return row.with_fields({**row.fields, **points})


def _unpack(file: Path, folder: Path, names: list[str], into: PictureFolder) -> set[str]:
    keys = ("filename", "caption", "prompt_id")
    return unpack_tables(file, names, into, columns=("image",), keys=keys, pictures=_pictures)


def _pictures(row: Row) -> Iterator[tuple[str, bytes | None]]:
    yield file_name(_key(row), row.fields["filename"]), row.picture("image")


READER = Reader(
    name="richhf",
    fields=("overall_score", "misalignment_score", "artifact_score"),
    read=_read_scores,
    unpack=_unpack,
    unread=MAPS,
    judges_single_images=True,
)
