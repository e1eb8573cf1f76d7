"""Reading ImageReward's JSON: one item per ranking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from annotation.models import Project
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.record import (
    RankingRecord,
    Reader,
    acceptable_slots,
    annotator,
    listed_positions,
    seconds,
)
from annotation.services.imports.rows import Row


def _read_items(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    for row in rows:
        row.check_names(
            required=["id", "prompt", "generations", "ranking"],
            optional=["annotator", "positions", "seconds", "acceptable_slots"],
        )
        sources = row.texts("generations", longest=SOURCE_LENGTH)
        slots = row.integers("ranking", low=1, high=project.slots)
        if len(slots) != len(sources):
            raise row.refused(f"'ranking' has {len(slots)} slots for {len(sources)} images")
        key = row.text("id", longest=KEY_LENGTH)
        yield RankingRecord(
            row,
            key,
            row.text("prompt"),
            sources,
            slots,
            annotator(row, "annotator"),
            positions=listed_positions(row, len(sources)),
            seconds=seconds(row),
            acceptable_slots=acceptable_slots(row, project),
        )


READER = Reader(name="imagereward", fields=("ranking",), read=_read_items)
