"""Reading Pick-a-Pic's columns; the pictures are in the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from annotation.models import Project
from annotation.models.prompts import GENERATOR_LENGTH, KEY_LENGTH
from annotation.services.imports.formats.pairs import (
    Pair,
    Side,
    generators_of_pairs,
    positions_of_pairs,
    slots_of_pairs,
)
from annotation.services.imports.formats.pictures import PictureFolder, file_name, unpack_tables
from annotation.services.imports.formats.record import (
    RankingRecord,
    Reader,
    acceptable_slots,
    check_same,
    group_rows,
    seconds,
)
from annotation.services.imports.rows import Row

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
    *("jpg_0", "jpg_1", "__index_level_0__"),  # pandas wrote the last one into versions 1 and 2
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


def _read_pairs(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    """Rows without a label are skipped. Where rows have no slots, a ranking is of two images."""
    labelled = (_fill_names(row) for row in rows if _is_labelled(row))
    for ranking in group_rows(labelled, lambda row: row.integer("ranking_id", low=0, high=HIGHEST)):
        first = ranking[0]
        check_same(ranking, ["caption", "user_id", "prompt_id", "seconds", "acceptable_slots"])
        pairs = [Pair(_fill_slots(row), _better(row)) for row in ranking]
        slots = slots_of_pairs(project, pairs, SIDES)
        generators = generators_of_pairs(pairs, SIDES)
        files = _files(ranking)
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
            files=tuple(files[source] for source in slots),
        )


def _is_labelled(row: Row) -> bool:
    return row.fields.get("has_label") is not False


def _files(ranking: list[Row]) -> dict[str, str | None]:
    """Return the name that each image's picture is unpacked under, by source; None without one."""
    files: dict[str, str | None] = {}
    for row in ranking:
        for number, side in enumerate(SIDES):
            uid = row.text(f"image_{number}_uid")
            if f"jpg_{number}" in row.fields:
                files[row.text(side.image)] = file_name(uid)
            else:
                files.setdefault(row.text(side.image), None)
    return files


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


def _unpack(file: Path, folder: Path, names: list[str], into: PictureFolder) -> set[str]:
    keys = ("image_0_uid", "image_1_uid", "has_label")
    return unpack_tables(file, names, into, columns=("jpg_0", "jpg_1"), keys=keys, pictures=_pictures)


def _pictures(row: Row) -> Iterator[tuple[str, bytes | None]]:
    for number in (0, 1) if _is_labelled(row) else ():
        yield file_name(row.fields[f"image_{number}_uid"]), row.picture(f"jpg_{number}")


READER = Reader(name="pickapic", fields=("label_0",), read=_read_pairs, unpack=_unpack)
