"""Reading Pick-a-Pic's columns; the pictures are in the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow
from pyarrow import parquet

from annotation.models import Project
from annotation.models.prompts import GENERATOR_LENGTH, KEY_LENGTH
from annotation.services.imports.formats.pairs import (
    Pair,
    Side,
    generators_of_pairs,
    positions_of_pairs,
    slots_of_pairs,
)
from annotation.services.imports.formats.record import (
    RankingRecord,
    Reader,
    acceptable_slots,
    check_same,
    group_rows,
    seconds,
)
from annotation.services.imports.parquet_tables import parquet_files
from annotation.services.imports.rows import ImportRefused, Row

SIDES = (
    Side("image_0_url", "slot_0", "model_0", "position_0"),
    Side("image_1_url", "slot_1", "model_1", "position_1"),
)
REQUIRED = (
    *("caption", "ranking_id", "user_id", "label_0", "label_1"),
    *("image_0_uid", "image_0_url", "image_1_uid", "image_1_url"),
)
OPTIONAL = (
    *("are_different", "best_image_uid", "created_at", "has_label", "num_example_per_prompt"),
    "__index_level_0__",  # pandas wrote it into versions 1 and 2
    *(
        "model_0",
        "model_1",
        "prompt_id",
        "slot_0",
        "slot_1",
        "position_0",
        "position_1",
        "seconds",
        "acceptable_slots",
    ),
)
HIGHEST = 2**63 - 1
BATCH = 64  # rows with pictures in memory


def _read_pairs(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    """Rows without a label are skipped. Where rows have no slots, a ranking is of two images."""
    labelled = (_fill_names(row) for row in rows if row.fields.get("has_label") is not False)
    for ranking in group_rows(labelled, lambda row: row.integer("ranking_id", low=0, high=HIGHEST)):
        first = ranking[0]
        check_same(ranking, ["caption", "user_id", "prompt_id", "seconds", "acceptable_slots"])
        pairs = [Pair(_fill_slots(row), _better(row)) for row in ranking]
        slots = slots_of_pairs(project, pairs, SIDES)
        generators = generators_of_pairs(pairs, SIDES)
        uids = {
            row.text(side.image): row.text(f"image_{number}_uid")
            for row in ranking
            for number, side in enumerate(SIDES)
        }
        yield RankingRecord(
            row=first,
            key=first.text("prompt_id", longest=KEY_LENGTH),
            text=first.text("caption"),
            sources=list(slots),
            slots=list(slots.values()),
            annotator=str(first.integer("user_id", low=0, high=HIGHEST)),
            generators=tuple(generators[source] for source in slots),
            positions=positions_of_pairs(pairs, SIDES, slots),
            seconds=seconds(first),
            acceptable_slots=acceptable_slots(first, project),
            files=tuple(_file_name(uids[source]) for source in slots),
        )


def _fill_names(row: Row) -> Row:
    """Return the row with uids for missing image URLs, and the ranking's id for a missing prompt id."""
    row.check_names(required=REQUIRED, optional=OPTIONAL)
    for side in SIDES:
        if row.fields.get(side.generator):
            row.text(side.generator, longest=GENERATOR_LENGTH)
    addresses = {
        f"image_{n}_url": row.fields[f"image_{n}_url"] or row.fields[f"image_{n}_uid"] for n in (0, 1)
    }
    key = row.fields.get("prompt_id") or str(row.fields["ranking_id"])
    return row.with_fields({**row.fields, **addresses, "prompt_id": key})


def _better(row: Row) -> int | None:
    labels = row.fields["label_0"], row.fields["label_1"]
    if labels not in ((1, 0), (0, 1), (0.5, 0.5)):
        raise row.refused(f"the labels are {labels[0]!r} and {labels[1]!r}: not 1 and 0, nor 0.5 twice")
    return None if labels[0] == labels[1] else int(labels[1] > labels[0])


def _fill_slots(row: Row) -> Row:
    """Return the row with slots 1 and 2, or 1 twice for a tie, where it has none."""
    if "slot_0" in row.fields:
        return row
    better = _better(row)
    slots = {"slot_0": 2 if better == 1 else 1, "slot_1": 2 if better == 0 else 1}
    return row.with_fields({**row.fields, **slots})


def _file_name(uid: str) -> str:
    """Return a file name for the uid, which may not be one itself."""
    return hashlib.sha256(uid.encode()).hexdigest()


def _unpack(file: Path, folder: Path, names: list[str], into: Path) -> set[str]:
    """Extract the pictures in a second pass over the tables, a few in memory at a time."""
    missing = set(names)
    for part in parquet_files(file):
        try:
            with parquet.ParquetFile(part) as table:
                if not {"jpg_0", "jpg_1"} <= set(table.schema_arrow.names):
                    continue
                columns = ["image_0_uid", "jpg_0", "image_1_uid", "jpg_1"]
                number = 0
                for batch in table.iter_batches(batch_size=BATCH, columns=columns):
                    for row in batch.to_pylist():
                        number += 1
                        for side in (0, 1):
                            name = _file_name(row[f"image_{side}_uid"])
                            picture = Row(part, number, row).picture(f"jpg_{side}")
                            if name in missing and picture:
                                (into / name).write_bytes(picture)
                                missing.discard(name)
        except (OSError, pyarrow.ArrowException) as error:
            raise ImportRefused(f"{part}: its pictures cannot be read ({error})") from None
    return missing


READER = Reader(name="pickapic", fields=("label_0",), read=_read_pairs, unpack=_unpack)
