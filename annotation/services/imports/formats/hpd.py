"""Reading HPD v2: test.json, of prompts with each annotator's ranking, and train.json, of pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from annotation.models import Project
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.record import (
    ANNOTATOR_LENGTH,
    RankingRecord,
    Reader,
    acceptable_slots,
    listed_positions,
    seconds,
)
from annotation.services.imports.rows import Row

# As in the dataset's card (huggingface.co/datasets/ymhao/HPDv2), and in the README of its repository
# (github.com/tgxs002/HPSv2), which calls a pair's images `file_path`.
ANNOTATIONS = ("raw_annotations", "raw_annotation")
PREFERENCE = "human_preference"
IMAGES = ("image_path", "file_path")


def _read_items(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    for row in rows:
        yield from [_read_pair(row)] if PREFERENCE in row.fields else _read_annotations(project, row)


def _read_annotations(project: Project, row: Row) -> Iterator[RankingRecord]:
    """Yield one record per annotator. The item's own `rank`, the rank of a mean, is ignored."""
    name = _spelling(row, ANNOTATIONS)
    row.check_names(required=["prompt", "image_path", name], optional=["id", "rank"])
    sources = row.texts("image_path", longest=SOURCE_LENGTH)
    annotations = row.fields[name]
    if not isinstance(annotations, list) or not annotations:
        raise row.refused(f"{name!r} is no list of annotations")
    for fields in annotations:
        if not isinstance(fields, dict):
            raise row.refused("an annotation is no object")
        annotation = row.with_fields(fields)
        annotation.check_names(
            required=["rank", "user_hash"], optional=["positions", "seconds", "acceptable_slots"]
        )
        slots = annotation.integers("rank", low=1, high=project.slots)
        if len(slots) != len(sources):
            raise row.refused(f"'rank' has {len(slots)} slots for {len(sources)} images")
        annotator = annotation.text("user_hash", longest=ANNOTATOR_LENGTH)
        yield RankingRecord(
            row,
            _key(row),
            row.text("prompt"),
            sources,
            slots,
            annotator,
            positions=listed_positions(annotation, len(sources)),
            seconds=seconds(annotation),
            acceptable_slots=acceptable_slots(annotation, project),
        )


def _read_pair(row: Row) -> RankingRecord:
    """Yield a pair of images, of which the preferred one is marked with 1."""
    name = _spelling(row, IMAGES)
    row.check_names(required=["prompt", name, PREFERENCE], optional=["id", "user_hash"])
    sources = row.texts(name, longest=SOURCE_LENGTH)
    preferred = row.integers(PREFERENCE, low=0, high=1)
    if sorted(preferred) != [0, 1] or len(sources) != 2:
        raise row.refused(f"{PREFERENCE!r} prefers not one of two images")
    annotator = row.text("user_hash", longest=ANNOTATOR_LENGTH) if "user_hash" in row.fields else ""
    slots = [2 - mark for mark in preferred]
    return RankingRecord(row, _key(row), row.text("prompt"), sources, slots, annotator)


def _key(row: Row) -> str:
    """Return the id, or the row's name if it has none."""
    return row.text("id", longest=KEY_LENGTH) if "id" in row.fields else row.name


def _spelling(row: Row, names: tuple[str, ...]) -> str:
    """Return the spelling that the row uses, or the first if it uses none."""
    return next((name for name in names if name in row.fields), names[0])


READER = Reader(name="hpd", fields=(*ANNOTATIONS, PREFERENCE), read=_read_items)
