"""One ranking of a file, whatever the format, and what the formats' readers share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.models import Category, Project
from annotation.models.judgements import SCALE
from annotation.models.prompts import GENERATOR_LENGTH
from annotation.services.imports.rows import Row

ANNOTATOR_LENGTH = 64


@dataclass(frozen=True)
class Opinion:
    """One ranking: `slots[i]`, `ratings[i]` (overall, alignment, fidelity) ... are of image `sources[i]`.

    `annotator` is empty where the file does not tell people apart. `files` are where the images lie, relative
    to the images' folder; None where the file says that there is none; empty: under their sources.
    """

    row: Row
    key: str
    text: str
    sources: list[str]
    slots: list[int]
    annotator: str = ""
    category: str = ""
    intent_unclear: bool | None = None
    issues: list[str] | None = None
    ratings: tuple[tuple[int, int, int], ...] = ()
    problems: tuple[list[str] | None, ...] = ()
    generators: tuple[str, ...] = ()
    files: tuple[str | None, ...] = ()
    split: str = ""  # in which the dataset publishes it; empty where it does not say

    def file_of(self, source: str) -> str | None:
        return self.files[self.sources.index(source)] if self.files else source

    def generator_of(self, source: str) -> str:
        return self.generators[self.sources.index(source)] if self.generators else ""


@dataclass(frozen=True)
class Reader:
    """How a format is read.

    Args:
        tell: fields of which its rows have one, and rows of no other format do.
        read: (project, rows) -> opinions. Raises ImportRefused.
        in_zips: an image DIR/NAME may be NAME in DIR.zip.
        unpack: (file, folder of the images, names, into): puts images that are inside other files into a
            folder, under their names; returns the names of those which the file says it does not have.
    """

    tell: tuple[str, ...]
    read: Callable[[Project, Iterable[Row]], Iterator[Opinion]]
    in_zips: bool = False
    unpack: Callable[[Path, Path, list[str], Path], set[str]] | None = None


def gathered(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> Iterator[list[Row]]:
    """The rows with equal keys, wherever they stand, by their first."""
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    yield from groups.values()


def check_same(rows: list[Row], names: Iterable[str]) -> None:
    """Fields that are of the opinion, not of one image. Raises ImportRefused naming the row that differs."""
    first = rows[0]
    for name in names:
        for row in rows:
            if row.fields.get(name) != first.fields.get(name):
                raise row.refused(f"{name!r} differs from row {first.number} of the same prompt")


def annotator(row: Row, name: str) -> str:
    """Who it was; empty where the file does not say. Raises ImportRefused."""
    return row.text(name, longest=ANNOTATOR_LENGTH) if row.fields.get(name) else ""


def generator(row: Row, name: str) -> str:
    """Empty where the file does not say. Raises ImportRefused."""
    return row.text(name, longest=GENERATOR_LENGTH) if row.fields.get(name) else ""


def category(row: Row, name: str) -> str:
    """Empty where there is none. The card writes "Outdoor Scenes": the first word tells them apart."""
    if not row.fields.get(name):
        return ""
    word = row.text(name).split()[0].casefold()
    if word not in Category.values:
        raise row.refused(f"{name!r} {row.fields[name]!r} is unknown")
    return word


def choices(row: Row, name: str, known: list[str]) -> list[str] | None:
    """Some of the known values; None where it is not known. Raises ImportRefused."""
    if row.fields.get(name) is None:
        return None
    chosen = row.texts(name)
    if unknown := [choice for choice in chosen if choice not in known]:
        raise row.refused(f"{name!r} has {unknown[0]!r}, which is none of {', '.join(known)}")
    return chosen


def flag(row: Row, name: str) -> bool | None:
    """None where it is not known. Raises ImportRefused."""
    value: Any = row.fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise row.refused(f"{name!r} is {value!r}, not true or false")
    return value


def ratings(rows: list[Row], names: tuple[str, str, str]) -> tuple[tuple[int, int, int], ...]:
    """Each image's three ratings; () where none was rated. Raises ImportRefused."""
    if all(row.fields.get(name) is None for row in rows for name in names):
        return ()
    low, high = SCALE
    stars = ((row.integer(name, low=low, high=high) for name in names) for row in rows)
    return tuple((overall, alignment, fidelity) for overall, alignment, fidelity in stars)


def distinct(rows: list[Row], name: str, *, longest: int) -> list[str]:
    """One text a row, none twice. Raises ImportRefused."""
    texts: dict[str, Row] = {}
    for row in rows:
        if texts.setdefault(row.text(name, longest=longest), row) is not row:
            raise row.refused(f"{row.fields[name]!r} is there twice")
    return list(texts)
