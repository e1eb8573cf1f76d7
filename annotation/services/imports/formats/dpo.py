"""Reading triples for DPO: prompt, chosen and rejected, images as paths or, in parquet, as their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from annotation.models import Project
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.chosen_pairs import ChosenPair, read_chosen_pairs
from annotation.services.imports.formats.pictures import PictureFolder, file_name, unpack_tables
from annotation.services.imports.formats.record import RankingRecord, Reader
from annotation.services.imports.rows import Row

SIDES = ("chosen", "rejected")
REQUIRED = ("prompt", *SIDES)
# The second line: of data-is-better-together/open-image-preferences-v1-binarized, beside what we write.
OPTIONAL = (
    *("chosen_model", "rejected_model", "prompt_id", "annotator", "chosen_slot", "rejected_slot"),
    *("id", "evolution", "category"),
    *("chosen_position", "rejected_position", "seconds", "acceptable_slots"),
)


def _read_triples(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    """Triples of others are rankings of two, by nobody in particular."""
    yield from read_chosen_pairs(project, map(_pair, rows))


def _pair(row: Row) -> ChosenPair:
    row.check_names(required=REQUIRED, optional=OPTIONAL)
    sources = tuple(_source(row, side) for side in SIDES)
    key = row.text("prompt_id", longest=KEY_LENGTH) if "prompt_id" in row.fields else row.full_name
    return ChosenPair(
        row=row,
        key=key,
        sources=sources,  # type: ignore[arg-type]  # two
        files=tuple(_file(row, side, key) for side in SIDES),  # type: ignore[arg-type]
        slots=("chosen_slot", "rejected_slot") if "chosen_slot" in row.fields else None,
        generators=("chosen_model", "rejected_model"),
        positions=("chosen_position", "rejected_position"),
    )


def _file(row: Row, side: str, key: str) -> str | None:
    """Return the path, or the name that the picture is unpacked under; None without one."""
    if row.fields[side] is None:
        return None
    source = _source(row, side)
    return file_name(key, source) if isinstance(row.fields[side], dict) else source


def _source(row: Row, side: str) -> str:
    """Return the path, or the row's number and side where a picture has none. Raises ImportRefused."""
    value = row.fields[side]
    if isinstance(value, dict):
        value = value.get("path")
    if value is None or isinstance(value, bytes):
        return f"{row.full_name}-{side}"
    return row.with_fields({side: value}).text(side, longest=SOURCE_LENGTH)


def _unpack(file: Path, folder: Path, names: list[str], into: PictureFolder) -> set[str]:
    return unpack_tables(file, names, into, columns=SIDES, keys=("prompt_id",), pictures=_pictures)


def _pictures(row: Row) -> Iterator[tuple[str, bytes | None]]:
    key = row.fields.get("prompt_id") or row.full_name
    for side in SIDES:
        is_path = isinstance(row.fields[side], str)
        yield file_name(key, _source(row, side)), None if is_path else row.picture(side)


READER = Reader(name="dpo", fields=("chosen",), read=_read_triples, unpack=_unpack)
