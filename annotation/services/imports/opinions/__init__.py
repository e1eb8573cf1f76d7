"""Reading rankings from every format that exports write, and that others publish."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from annotation.models import Project
from annotation.services.imports.opinions import (
    csv,
    hpd,
    imagereward,
    imagerewarddb,
    pairs,
    pickapic,
)
from annotation.services.imports.opinions.opinion import Opinion, Reader
from annotation.services.imports.rows import ImportRefused, Row, read_rows

READERS = {
    "imagereward": imagereward.READER,
    "imagerewarddb": imagerewarddb.READER,
    "pairs": pairs.READER,
    "pickapic": pickapic.READER,
    "hpd": hpd.READER,
    "csv": csv.READER,
}
# What a file is taken for when its fields do not tell.
BY_SUFFIX = {".csv": "csv", ".parquet": "imagerewarddb"}

__all__ = ["READERS", "Opinion", "Reader", "read_opinions"]


def read_opinions(project: Project, file: Path, format: str | None = None) -> tuple[Reader, list[Opinion]]:
    """All rankings of the file, each of which the project's slots can hold. Raises ImportRefused."""
    rows = list(read_rows(file))
    if not rows:
        raise ImportRefused(f"{file}: has no rows")
    reader = READERS[format or _format_of(file, rows[0])]
    opinions = list(reader.read(project, rows))
    if not opinions:
        raise ImportRefused(f"{file}: has no ranking")
    seen: dict[tuple[str, str], int] = {}
    texts: dict[str, Opinion] = {}
    for opinion in opinions:
        whose = opinion.key, opinion.annotator
        if whose in seen:
            raise opinion.row.refused(f"id {opinion.key!r} was in row {seen[whose]} already")
        seen[whose] = opinion.row.number
        first = texts.setdefault(opinion.key, opinion)
        if first.text != opinion.text:
            raise opinion.row.refused(f"id {opinion.key!r} has another text in row {first.row.number}")
        _check_slots(project, opinion)
    return reader, opinions


def _format_of(file: Path, row: Row) -> str:
    told = [name for name, reader in READERS.items() if not row.fields.keys().isdisjoint(reader.tell)]
    return told[0] if told else BY_SUFFIX.get(file.suffix, "imagereward")


def _check_slots(project: Project, opinion: Opinion) -> None:
    row, images = opinion.row, len(opinion.sources)
    if images < 2:
        raise row.refused("fewer than two images are no ranking")
    if images > project.max_images:
        raise row.refused(f"{images} images are more than the {project.max_images} that can be placed")
    slot, held = Counter(opinion.slots).most_common(1)[0]
    if held > project.per_slot:
        raise row.refused(f"slot {slot} has {held} images, and may have {project.per_slot}")
