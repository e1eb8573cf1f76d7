"""Combining pairs, of which one image was preferred, into rankings: ties are not among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

from annotation.models import Project
from annotation.services.imports.formats.record import (
    RankingRecord,
    acceptable_slots,
    annotator,
    check_same,
    generator,
    positions,
    seconds,
)
from annotation.services.imports.rows import Row

Two = tuple[str, str]


class ChosenPair(NamedTuple):
    """One row: of both images, the preferred one first, the source and the file, and names of fields.

    `slots` names the fields with their slots in the opinion; None where the pair is an opinion of its own.
    """

    row: Row
    key: str
    sources: Two
    files: tuple[str | None, str | None]
    slots: Two | None
    generators: Two
    positions: Two


def read_chosen_pairs(project: Project, pairs: Iterable[ChosenPair]) -> Iterator[RankingRecord]:
    """Yield a record per opinion: its prompt's pairs by one annotator. Raises: ImportRefused."""
    opinions: dict[tuple[str, str], list[ChosenPair]] = {}
    for pair in pairs:
        opinions.setdefault((pair.key, annotator(pair.row, "annotator")), []).append(pair)
    for opinion in opinions.values():
        yield _record(project, opinion)


def _record(project: Project, pairs: list[ChosenPair]) -> RankingRecord:
    """Return the opinion. Raises: ImportRefused where pairs contradict each other, or one is missing."""
    first = pairs[0].row
    check_same([pair.row for pair in pairs], ("prompt", "seconds", "acceptable_slots"))
    slots: dict[str, int] = {}
    files: dict[str, str | None] = {}
    generators: dict[str, str] = {}
    places: dict[str, object] = {}
    seen: set[frozenset[str]] = set()
    for pair in pairs:
        row, (better, worse) = pair.row, pair.sources
        if better == worse:
            raise row.refused(f"{better!r} is compared with itself")
        if frozenset(pair.sources) in seen:
            raise row.refused(f"{better!r} and {worse!r} are compared twice")
        seen.add(frozenset(pair.sources))
        pair_slots = [1, 2]
        if pair.slots is not None:
            pair_slots = [row.integer(name, low=1, high=project.slots) for name in pair.slots]
        if pair_slots[0] >= pair_slots[1]:
            raise row.refused(f"{better!r} is preferred, and its slot {pair_slots[0]} is no better one")
        for i, source in enumerate(pair.sources):
            if slots.setdefault(source, pair_slots[i]) != pair_slots[i]:
                raise row.refused(f"{source!r} is in slot {pair_slots[i]}, and was in {slots[source]} before")
            files.setdefault(source, pair.files[i])
            generators.setdefault(source, generator(row, pair.generators[i]))
            places.setdefault(source, row.fields.get(pair.positions[i]))
    for a, b in combinations(slots, 2):
        if slots[a] != slots[b] and frozenset((a, b)) not in seen:
            raise first.refused(f"{a!r} and {b!r} are in different slots, and their pair is missing")
    order = _known_order(slots, places)
    return RankingRecord(
        row=first,
        key=pairs[0].key,
        text=first.text("prompt"),
        sources=order,
        slots=[slots[source] for source in order],
        annotator=annotator(first, "annotator"),
        generators=tuple(generators[source] for source in order),
        files=tuple(files[source] for source in order),
        positions=positions(first, [places[source] for source in order]),
        seconds=seconds(first),
        acceptable_slots=acceptable_slots(first, project),
    )


def _known_order(slots: dict[str, int], places: dict[str, object]) -> list[str]:
    """Return the sources as they stood on the page; as they appear where that is not known."""
    known = {source: place for source, place in places.items() if isinstance(place, int)}
    return sorted(slots, key=known.__getitem__) if known.keys() == slots.keys() else list(slots)
