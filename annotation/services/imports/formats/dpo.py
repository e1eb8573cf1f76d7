"""Reading triples for DPO: prompt, chosen and rejected, images as paths or, in parquet, as their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow
from pyarrow import parquet

from annotation.models import Project
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.chosen_pairs import ChosenPair, read_chosen_pairs
from annotation.services.imports.formats.record import RankingRecord, Reader
from annotation.services.imports.parquet_tables import parquet_files
from annotation.services.imports.rows import ImportRefused, Row, suffix_of

SIDES = ("chosen", "rejected")
REQUIRED = ("prompt", *SIDES)
# The second line: of data-is-better-together/open-image-preferences-v1-binarized, beside what we write.
OPTIONAL = (
    *("chosen_model", "rejected_model", "prompt_id", "annotator", "chosen_slot", "rejected_slot"),
    *("id", "evolution", "category"),
    *("chosen_position", "rejected_position", "seconds", "acceptable_slots"),
)
BATCH = 64  # rows with pictures in memory


def _read_triples(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    """Triples of others are rankings of two, by nobody in particular."""
    yield from read_chosen_pairs(project, map(_pair, rows))


def _pair(row: Row) -> ChosenPair:
    row.check_names(required=REQUIRED, optional=OPTIONAL)
    sources = tuple(_source(row, side) for side in SIDES)
    key = (
        row.text("prompt_id", longest=KEY_LENGTH)
        if "prompt_id" in row.fields
        else _unnamed(row.file, row.number)
    )
    embedded = isinstance(row.fields["chosen"], dict) or row.fields["chosen"] is None
    return ChosenPair(
        row=row,
        key=key,
        sources=sources,  # type: ignore[arg-type]  # two
        files=tuple(_file_name(key, source) for source in sources) if embedded else sources,  # type: ignore[arg-type]
        slots=("chosen_slot", "rejected_slot") if "chosen_slot" in row.fields else None,
        generators=("chosen_model", "rejected_model"),
        positions=("chosen_position", "rejected_position"),
    )


def _source(row: Row, side: str) -> str:
    """Return the path, or the row's number and side where a picture has none. Raises ImportRefused."""
    value = row.fields[side]
    if isinstance(value, dict):
        value = value.get("path")
    if value is None:
        return f"{_unnamed(row.file, row.number)}-{side}"
    return row.with_fields({side: value}).text(side, longest=SOURCE_LENGTH)


def _unnamed(file: Path, number: int) -> str:
    """Return a name for a row: a dataset's tables each begin with row 1."""
    return f"{file.stem[-60:]}-{number}"


def _file_name(key: str, source: str) -> str:
    """Return a file name for a prompt's image: its source may not be one, and be another prompt's, too."""
    return hashlib.sha256(f"{key}\0{source}".encode()).hexdigest()


def _unpack(file: Path, folder: Path, names: list[str], into: Path) -> set[str]:
    """Extract the pictures in a second pass over the tables, a few in memory at a time."""
    if not file.is_dir() and suffix_of(file) != ".parquet":
        return set()
    missing = set(names)
    for part in parquet_files(file):
        try:
            with parquet.ParquetFile(part) as table:
                number = 0
                columns = [name for name in (*SIDES, "prompt_id") if name in table.schema_arrow.names]
                for batch in table.iter_batches(batch_size=BATCH, columns=columns):
                    for row in batch.to_pylist():
                        number += 1
                        key = row.get("prompt_id") or _unnamed(part, number)
                        for side in SIDES:
                            image = row[side] if isinstance(row[side], dict) else {"path": row[side]}
                            name = _file_name(key, image.get("path") or f"{_unnamed(part, number)}-{side}")
                            picture = Row(part, number, {side: image}).picture(side)
                            if name in missing and picture:
                                (into / name).write_bytes(picture)
                                missing.discard(name)
        except (OSError, pyarrow.ArrowException) as error:
            raise ImportRefused(f"{part}: its pictures cannot be read ({error})") from None
    return missing


READER = Reader(name="dpo", fields=("chosen",), read=_read_triples, unpack=_unpack)
