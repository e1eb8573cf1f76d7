"""Reading HPD v2's JSON: one item a prompt, with what each annotator said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from annotation.models import Project
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.opinions.opinion import ANNOTATOR_LENGTH, Opinion, Reader
from annotation.services.imports.rows import Row


def _read(project: Project, rows: Iterable[Row]) -> Iterator[Opinion]:
    """`rank` is a mean, said by nobody, and passed over. Without an id the item's number names the prompt."""
    for row in rows:
        row.check_names(required=["prompt", "image_path", "raw_annotation"], optional=["id", "rank"])
        key = row.text("id", longest=KEY_LENGTH) if "id" in row.fields else str(row.number)
        sources = row.texts("image_path", longest=SOURCE_LENGTH)
        said = row.fields["raw_annotation"]
        if not isinstance(said, list) or not said:
            raise row.refused("'raw_annotation' is no list of annotations")
        for fields in said:
            if not isinstance(fields, dict):
                raise row.refused("an annotation is no object")
            annotation = replace(row, fields=fields)
            annotation.check_names(required=["rank", "user_hash"])
            slots = annotation.integers("rank", low=1, high=project.slots)
            if len(slots) != len(sources):
                raise row.refused(f"'rank' has {len(slots)} slots for {len(sources)} images")
            who = annotation.text("user_hash", longest=ANNOTATOR_LENGTH)
            yield Opinion(row, key, row.text("prompt"), sources, slots, who)


READER = Reader(tell="raw_annotation", read=_read)
