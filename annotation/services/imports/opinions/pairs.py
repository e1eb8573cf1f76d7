"""Reading pairs, a line a pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from annotation.models import Project
from annotation.models.prompts import GENERATOR_LENGTH, KEY_LENGTH
from annotation.services.imports.opinions.opinion import Opinion, Reader, annotator, check_same, gathered
from annotation.services.imports.opinions.paired import Pair, Side, ranked, said_of
from annotation.services.imports.rows import Row

SIDES = (Side("image_a", "slot_a", "generator_a"), Side("image_b", "slot_b", "generator_b"))
REQUIRED = ("prompt_id", "prompt", "image_a", "image_b", "slot_a", "slot_b", "better")
OPTIONAL = ("annotator", "weight", "sha256_a", "sha256_b", "generator_a", "generator_b")
BETTER = {"a": 0, "b": 1, "tie": None}


def _read(project: Project, rows: Iterable[Row]) -> Iterator[Opinion]:
    def whose(row: Row) -> tuple[str, str]:
        row.check_names(required=REQUIRED, optional=OPTIONAL)
        for side in SIDES:
            if row.fields.get(side.generator):
                row.text(side.generator, longest=GENERATOR_LENGTH)
        return row.text("prompt_id", longest=KEY_LENGTH), annotator(row, "annotator")

    for opinion in gathered(rows, whose):
        first = opinion[0]
        key, who = whose(first)
        check_same(opinion, ["prompt"])
        pairs = [Pair(row, _better(row)) for row in opinion]
        slots = ranked(project, pairs, SIDES)
        generators = said_of(pairs, SIDES, "generator")
        yield Opinion(
            row=first,
            key=key,
            text=first.text("prompt"),
            sources=list(slots),
            slots=list(slots.values()),
            annotator=who,
            generators=tuple(generators[source] for source in slots),
        )


def _better(row: Row) -> int | None:
    said = row.text("better")
    if said not in BETTER:
        raise row.refused(f"'better' is {said!r}, and none of {', '.join(BETTER)}")
    return BETTER[said]


READER = Reader(tell=("image_a",), read=_read)
