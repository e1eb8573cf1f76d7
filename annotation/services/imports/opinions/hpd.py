"""Reading HPD v2: test.json, of prompts with what each annotator said, and train.json, of pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from annotation.models import Project
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.opinions.opinion import ANNOTATOR_LENGTH, Opinion, Reader
from annotation.services.imports.rows import Row

# As the dataset's card has it (huggingface.co/datasets/ymhao/HPDv2), and as the README of its repository has
# it (github.com/tgxs002/HPSv2), which calls a pair's images `file_path`.
ANNOTATIONS = ("raw_annotations", "raw_annotation")
PREFERENCE = "human_preference"
IMAGES = ("image_path", "file_path")


def _read(project: Project, rows: Iterable[Row]) -> Iterator[Opinion]:
    """Without an id the item's number names the prompt."""
    for row in rows:
        yield from [_pair(row)] if PREFERENCE in row.fields else _ranked(project, row)


def _ranked(project: Project, row: Row) -> Iterator[Opinion]:
    """`rank` is a mean, said by nobody, and passed over."""
    name = _spelled(row, ANNOTATIONS)
    row.check_names(required=["prompt", "image_path", name], optional=["id", "rank"])
    sources = row.texts("image_path", longest=SOURCE_LENGTH)
    said = row.fields[name]
    if not isinstance(said, list) or not said:
        raise row.refused(f"{name!r} is no list of annotations")
    for fields in said:
        if not isinstance(fields, dict):
            raise row.refused("an annotation is no object")
        annotation = replace(row, fields=fields)
        annotation.check_names(required=["rank", "user_hash"])
        slots = annotation.integers("rank", low=1, high=project.slots)
        if len(slots) != len(sources):
            raise row.refused(f"'rank' has {len(slots)} slots for {len(sources)} images")
        who = annotation.text("user_hash", longest=ANNOTATOR_LENGTH)
        yield Opinion(row, _key(row), row.text("prompt"), sources, slots, who)


def _pair(row: Row) -> Opinion:
    """Two images, of which 1 marks the one that somebody preferred."""
    name = _spelled(row, IMAGES)
    row.check_names(required=["prompt", name, PREFERENCE], optional=["id", "user_hash"])
    sources = row.texts(name, longest=SOURCE_LENGTH)
    preferred = row.integers(PREFERENCE, low=0, high=1)
    if sorted(preferred) != [0, 1] or len(sources) != 2:
        raise row.refused(f"{PREFERENCE!r} prefers not one of two images")
    who = row.text("user_hash", longest=ANNOTATOR_LENGTH) if "user_hash" in row.fields else ""
    return Opinion(row, _key(row), row.text("prompt"), sources, [2 - one for one in preferred], who)


def _key(row: Row) -> str:
    return row.text("id", longest=KEY_LENGTH) if "id" in row.fields else str(row.number)


def _spelled(row: Row, names: tuple[str, ...]) -> str:
    """The name that the row uses; the first where it uses none."""
    return next((name for name in names if name in row.fields), names[0])


READER = Reader(tell=(*ANNOTATIONS, PREFERENCE), read=_read)
