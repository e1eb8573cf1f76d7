"""Reading rankings from every format that exports write, and from published datasets.

To add a format: a module here with a READER, and its name in the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from annotation.models import Project
from annotation.services.imports.formats import (
    argilla,
    csv,
    dpo,
    hpd,
    hpdv3,
    imagereward,
    imagerewarddb,
    labelstudio,
    pairs,
    pickapic,
    richhf,
    visionreward,
)
from annotation.services.imports.formats.record import RankingRecord, Reader
from annotation.services.imports.rows import (
    AS_PROMPTS,
    AS_RANKINGS,
    LONGEST_ITEM,
    ImportRefused,
    Row,
    batches,
)
from annotation.services.imports.tables import read_rows

MOST_BYTES = 2 * 2**30  # that tables may decode to: all rows are in memory
READERS: dict[str, Reader] = {
    module.READER.name: module.READER
    for module in (
        imagereward,
        imagerewarddb,
        pairs,
        dpo,
        pickapic,
        richhf,
        visionreward,
        hpd,
        hpdv3,
        labelstudio,
        argilla,
        csv,
    )
}
FIELDS = {name: reader for reader in READERS.values() for name in reader.fields}
UNREAD = frozenset(name for reader in READERS.values() for name in reader.unread)


class ReadRankings(NamedTuple):
    """A file's rankings; `passed_over` prompts have one image each, which is no ranking."""

    reader: Reader
    records: list[RankingRecord]
    passed_over: int


def read_rankings(
    project: Project,
    file: Path,
    format: str | None = None,
    *,
    most_bytes: int = MOST_BYTES,
    progress: Callable[[int], object] | None = None,
) -> ReadRankings:
    """Read all rankings of the file, and check that the project's slots can hold each.

    Args:
        format: a name of READERS; None: recognized by the fields of the first row.
        most_bytes: that tables may decode to.
        progress: called with the number of rankings read since the last call, which may be 0.
    Raises: ImportRefused.
    """
    rows: list[Row] = []
    for batch in batches(read_rows(file, most_bytes=most_bytes, longest_item=LONGEST_ITEM, without=UNREAD)):
        rows += batch
        if progress:
            progress(0)
    if not rows:
        raise ImportRefused(f"{file}: has no rows")
    reader = READERS[format] if format else _recognize(rows[0])
    read = _read(reader, project, rows)
    if _are_anothers(read, project):
        read = _read(reader, project, [replace(row, is_part=True) for row in rows])
    records = [record for record in read if len(record.sources) > 1 or not reader.judges_single_images]
    if not records:
        alone = f": each of {len(read):,} prompts has one image" if read else ""
        raise ImportRefused(f"{file}: has no ranking{alone}")
    first_rows: dict[tuple[str, str], int] = {}  # by prompt and annotator
    first_records: dict[str, RankingRecord] = {}  # by prompt
    for record in records:
        identity = record.key, record.annotator
        if identity in first_rows:
            raise record.row.refused(f"id {record.key!r} was in row {first_rows[identity]} already")
        first_rows[identity] = record.row.number
        first = first_records.setdefault(record.key, record)
        if first.text != record.text:
            raise record.row.refused(f"id {record.key!r} has another text in row {first.row.number}")
        _check_slots(project, record)
        if progress:
            progress(1)
    return ReadRankings(reader, records, len(read) - len(records))


def _read(reader: Reader, project: Project, rows: Iterable[Row]) -> list[RankingRecord]:
    return [record.in_display_order() for record in reader.read(project, rows)]


def _are_anothers(records: Iterable[RankingRecord], project: Project) -> bool:
    """Whether the project has prompts under these ids, and none of them with the same text.

    Where the ids are numbers of rows, these are another file's: this one's then begin with its name. One that
    was imported and changed since still has rows that are known.
    """
    is_any_known = False
    for batch in batches(records):
        texts = {record.key: record.text for record in batch}
        for key, text in project.prompts.filter(key__in=texts).values_list("key", "text"):
            if text == texts[key]:
                return False
            is_any_known = True
    return is_any_known


def refuse_rankings(row: Row) -> None:
    """Raises: ImportRefused for a row of rankings, where prompts or images are read."""
    if names := [name for name in FIELDS if name in row.fields]:
        raise row.refused(f"holds rankings, as its field {names[0]!r} tells: {AS_RANKINGS}")


def _recognize(row: Row) -> Reader:
    """Return the reader of the format that has one of the row's fields. Raises: ImportRefused for none."""
    reader = next((reader for name, reader in FIELDS.items() if name in row.fields), None)
    if reader is None:
        raise row.refused(
            f"holds no rankings: it has none of {', '.join(FIELDS)}. "
            f"If it holds prompts or images: {AS_PROMPTS}"
        )
    return reader


def _check_slots(project: Project, record: RankingRecord) -> None:
    row, images = record.row, len(record.sources)
    if images < 2:
        raise row.refused("fewer than two images are no ranking")
    if images > project.max_images:
        raise row.refused(f"{images} images are more than the {project.max_images} that can be placed")
    if max(record.slots) > project.slots:
        raise row.refused(
            f"its images are in {max(record.slots)} places, and the project has {project.slots} slots: "
            "import into one with more; a project without tasks takes them under Settings"
        )
    slot, count = Counter(record.slots).most_common(1)[0]
    if count > project.per_slot:
        raise row.refused(f"slot {slot} has {count} images, and may have {project.per_slot}")
