"""Reading pairs, one per line, and combining the pairs of a ranking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from annotation.models import Project
from annotation.models.prompts import GENERATOR_LENGTH, KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.record import (
    RankingRecord,
    Reader,
    acceptable_slots,
    annotator,
    check_same,
    group_rows,
    positions,
    seconds,
)
from annotation.services.imports.rows import Row


class Side(NamedTuple):
    """The names of the fields of one of a pair's images."""

    image: str
    slot: str
    generator: str
    position: str


class Pair(NamedTuple):
    """One row. `better` is the index of the side that the row says is better, 0 or 1; None for a tie."""

    row: Row
    better: int | None


def slots_of_pairs(project: Project, pairs: list[Pair], sides: tuple[Side, Side]) -> dict[str, int]:
    """Return the slot of each image by its source, in the order in which the images appear.

    Args: pairs: all of one ranking.
    Raises: ImportRefused when pairs contradict each other, and when one is missing or repeated.
    """
    slots: dict[str, int] = {}
    seen: set[frozenset[str]] = set()
    for row, better in pairs:
        a, b = (row.text(side.image, longest=SOURCE_LENGTH) for side in sides)
        if a == b:
            raise row.refused(f"{a!r} is compared with itself")
        if frozenset((a, b)) in seen:
            raise row.refused(f"{a!r} and {b!r} are compared twice")
        seen.add(frozenset((a, b)))
        pair_slots = [row.integer(side.slot, low=1, high=project.slots) for side in sides]
        for name, slot in zip((a, b), pair_slots, strict=True):
            if slots.setdefault(name, slot) != slot:
                raise row.refused(f"{name!r} is in slot {slot}, and was in slot {slots[name]} before")
        if better != (None if pair_slots[0] == pair_slots[1] else int(pair_slots[1] < pair_slots[0])):
            raise row.refused(f"what is better contradicts the slots {pair_slots[0]} and {pair_slots[1]}")
    count = len(slots) * (len(slots) - 1) // 2
    if len(seen) != count:
        raise pairs[0].row.refused(f"the opinion has {len(seen)} pairs, and its images make {count}")
    return slots


def generators_of_pairs(pairs: list[Pair], sides: tuple[Side, Side]) -> dict[str, str]:
    """Return the generator of each image by its source; empty where there is none. Raises ImportRefused."""
    return {
        row.text(side.image): row.text(side.generator) if row.fields.get(side.generator) else ""
        for row, _ in pairs
        for side in sides
    }


def positions_of_pairs(
    pairs: list[Pair], sides: tuple[Side, Side], sources: Iterable[str]
) -> tuple[int, ...]:
    """Return where each of the sources stood on the page, from 1; () where unknown. Raises ImportRefused."""
    position_of: dict[str, Any] = {}
    for row, _ in pairs:
        for side in sides:
            name, position = row.text(side.image), row.fields.get(side.position)
            if position_of.setdefault(name, position) != position:
                raise row.refused(
                    f"{name!r} is at position {position}, and was at {position_of[name]} before"
                )
    return positions(pairs[0].row, [position_of[source] for source in sources])


SIDES = (
    Side("image_a", "slot_a", "generator_a", "position_a"),
    Side("image_b", "slot_b", "generator_b", "position_b"),
)
REQUIRED = ("prompt_id", "prompt", "image_a", "image_b", "slot_a", "slot_b", "better")
OPTIONAL = (
    *("annotator", "weight", "sha256_a", "sha256_b", "generator_a", "generator_b"),
    *("position_a", "position_b", "seconds", "acceptable_slots"),
)
BETTER = {"a": 0, "b": 1, "tie": None}


def _read_pairs(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    def identity(row: Row) -> tuple[str, str]:
        row.check_names(required=REQUIRED, optional=OPTIONAL)
        for side in SIDES:
            if row.fields.get(side.generator):
                row.text(side.generator, longest=GENERATOR_LENGTH)
        return row.text("prompt_id", longest=KEY_LENGTH), annotator(row, "annotator")

    for ranking in group_rows(rows, identity):
        first = ranking[0]
        key, name = identity(first)
        check_same(ranking, ["prompt", "seconds", "acceptable_slots"])
        pairs = [Pair(row, _better(row)) for row in ranking]
        slots = slots_of_pairs(project, pairs, SIDES)
        generators = generators_of_pairs(pairs, SIDES)
        yield RankingRecord(
            row=first,
            key=key,
            text=first.text("prompt"),
            sources=list(slots),
            slots=list(slots.values()),
            annotator=name,
            generators=tuple(generators[source] for source in slots),
            positions=positions_of_pairs(pairs, SIDES, slots),
            seconds=seconds(first),
            acceptable_slots=acceptable_slots(first, project),
        )


def _better(row: Row) -> int | None:
    better = row.text("better")
    if better not in BETTER:
        raise row.refused(f"'better' is {better!r}, and none of {', '.join(BETTER)}")
    return BETTER[better]


READER = Reader(name="pairs", fields=("image_a",), read=_read_pairs)
