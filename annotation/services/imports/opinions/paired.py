"""A ranking out of its pairs."""

from __future__ import annotations

from typing import NamedTuple

from annotation.models import Project
from annotation.models.prompts import SOURCE_LENGTH
from annotation.services.imports.rows import Row


class Side(NamedTuple):
    """The fields of one image of a pair: its name, its slot, its generator."""

    image: str
    slot: str
    generator: str


class Pair(NamedTuple):
    """One row. `better` is 0 or 1 for the side that the row says is better, None for a tie."""

    row: Row
    better: int | None


def ranked(project: Project, pairs: list[Pair], sides: tuple[Side, Side]) -> dict[str, int]:
    """Source -> slot, in the order in which the images come.

    Raises: ImportRefused when the pairs contradict each other, or one is missing or there twice.
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
        held = [row.integer(side.slot, low=1, high=project.slots) for side in sides]
        for name, slot in zip((a, b), held, strict=True):
            if slots.setdefault(name, slot) != slot:
                raise row.refused(f"{name!r} is in slot {slot}, and was in slot {slots[name]} before")
        if better != (None if held[0] == held[1] else int(held[1] < held[0])):
            raise row.refused(f"what is better contradicts the slots {held[0]} and {held[1]}")
    wanted = len(slots) * (len(slots) - 1) // 2
    if len(seen) != wanted:
        raise pairs[0].row.refused(f"the opinion has {len(seen)} pairs, and its images make {wanted}")
    return slots


def said_of(pairs: list[Pair], sides: tuple[Side, Side], field: str) -> dict[str, str]:
    """Image -> what a field of its side says; an empty text where it says nothing. Raises ImportRefused."""
    said: dict[str, str] = {}
    for row, _ in pairs:
        for side in sides:
            name = getattr(side, field)
            said[row.text(side.image)] = row.text(name) if row.fields.get(name) else ""
    return said
