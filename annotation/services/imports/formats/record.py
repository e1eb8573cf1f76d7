"""A ranking read from a file of any format, and what the readers of the formats share."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from annotation.models import Category, Project
from annotation.models.axes import SCALE, VISIONREWARD, columns_among
from annotation.models.prompts import GENERATOR_LENGTH
from annotation.services.imports.formats.pictures import PictureFolder
from annotation.services.imports.rows import Row

ANNOTATOR_LENGTH = 64
ADDRESS = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)
T = TypeVar("T")


@dataclass(frozen=True)
class RankingRecord:
    """One person's ranking of a prompt's images, with the labels and ratings that the file has.

    `slots[i]`, `positions[i]`, `ratings[i]` (points by axis), `problems[i]`, `generators[i]`
    and `files[i]` are of the image `sources[i]`. `files` are paths relative to the folder of images, None
    where the file says that there is no image; when empty, the sources are the paths.
    """

    row: Row
    key: str
    text: str
    sources: list[str]
    slots: list[int]
    annotator: str = ""  # empty where the file does not distinguish annotators
    category: str = ""
    intent_unclear: bool | None = None
    issues: list[str] | None = None
    ratings: tuple[dict[str, int], ...] = ()
    problems: tuple[list[str] | None, ...] = ()
    generators: tuple[str, ...] = ()
    files: tuple[str | None, ...] = ()
    split: str = ""  # of the published dataset; empty where it is not known
    positions: tuple[int, ...] = ()  # on the annotator's page, from 1; empty where they are not known
    seconds: float | None = None  # that the opinion took
    acceptable_slots: int | None = None  # images in slots 1 to this are; 0: none; None: not known

    def file_of(self, source: str) -> str | None:
        return self.files[self.sources.index(source)] if self.files else source

    def generator_of(self, source: str) -> str:
        return self.generators[self.sources.index(source)] if self.generators else ""

    def in_display_order(self) -> RankingRecord:
        """Return the record with its images in the order shown; as they are where that is not known."""
        if not self.positions:
            return self
        order = sorted(range(len(self.positions)), key=self.positions.__getitem__)
        return replace(
            self,
            sources=list(_sorted_by(order, self.sources)),
            slots=list(_sorted_by(order, self.slots)),
            ratings=_sorted_by(order, self.ratings),
            problems=_sorted_by(order, self.problems),
            generators=_sorted_by(order, self.generators),
            files=_sorted_by(order, self.files),
            positions=tuple(range(1, len(order) + 1)),
        )


def _sorted_by(order: list[int], values: Sequence[T]) -> tuple[T, ...]:
    return tuple(values[i] for i in order) if values else ()


@dataclass(frozen=True)
class Reader:
    """How a format is read.

    Args:
        name: as in `import_rankings --format`.
        fields: its rows have at least one of these fields, which no other format has.
        read: (project, rows) -> records. Raises ImportRefused.
        in_zips: an image DIR/NAME may be NAME in DIR.zip.
        unpack: (file, folder of the images, names, into): extract the named images from tables into a folder;
            return the names of those whose place in a table is empty.
        unread: columns of its tables whose values are not needed, and that no other format has.
        judges_single_images: a prompt with one image is passed over rather than refused.
    """

    name: str
    fields: tuple[str, ...]
    read: Callable[[Project, Iterable[Row]], Iterator[RankingRecord]]
    in_zips: bool = False
    unpack: Callable[[Path, Path, list[str], PictureFolder], set[str]] | None = None
    unread: tuple[str, ...] = ()
    judges_single_images: bool = False


def is_address(name: str) -> bool:
    """Whether a file is elsewhere, http://x/a.png say, rather than below the folder of images."""
    return ADDRESS.match(name) is not None


def group_rows(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> Iterator[list[Row]]:
    """Yield the rows with equal keys, adjacent or not, in the order of each group's first row."""
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    yield from groups.values()


def check_same(rows: list[Row], names: Iterable[str]) -> None:
    """Raises ImportRefused naming a row whose value differs from the first row's in one of these fields."""
    first = rows[0]
    for name in names:
        for row in rows:
            if row.fields.get(name) != first.fields.get(name):
                raise row.refused(f"{name!r} differs from row {first.number} of the same prompt")


def annotator(row: Row, name: str) -> str:
    """Return the annotator's name; empty where the file does not say. Raises ImportRefused."""
    return row.text(name, longest=ANNOTATOR_LENGTH) if row.fields.get(name) else ""


def generator(row: Row, name: str) -> str:
    """Return the generator's name; empty where the file does not say. Raises ImportRefused."""
    return row.text(name, longest=GENERATOR_LENGTH) if row.fields.get(name) else ""


def category(row: Row, name: str) -> str:
    """Return the category, empty where there is none, by its first word: the card writes "Outdoor Scenes".

    Raises ImportRefused.
    """
    if not row.fields.get(name):
        return ""
    word = row.text(name).split()[0].casefold()
    if word not in Category.values:
        raise row.refused(f"{name!r} {row.fields[name]!r} is unknown")
    return word


def choices(row: Row, name: str, allowed: list[str]) -> list[str] | None:
    """Return a list of some of the allowed values; None where it is not known. Raises ImportRefused."""
    if row.fields.get(name) is None:
        return None
    values = row.texts(name)
    if unknown := [value for value in values if value not in allowed]:
        raise row.refused(f"{name!r} has {unknown[0]!r}, which is none of {', '.join(allowed)}")
    return values


def without_none(chosen: Any) -> Any:
    """Return the choices, [] where none was ticked as such."""
    return [] if chosen == ["none"] else chosen


def yes_or_no(word: Any) -> bool | None:
    """Return what the word says; None of any other value."""
    return {"yes": True, "no": False}.get(word) if isinstance(word, str) else None


def flag(row: Row, name: str) -> bool | None:
    """Return true or false; None where it is not known. Raises ImportRefused."""
    value: Any = row.fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise row.refused(f"{name!r} is {value!r}, not true or false")
    return value


def rating_columns(rows: Iterable[Row], papers: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of ratings that any of the rows has, by axis: tables of a folder may differ.

    Args: papers: as of `columns_among`.
    """
    return columns_among({name for row in rows for name in row.fields}, papers)


def ratings(project: Project, rows: list[Row], columns: Mapping[str, str]) -> tuple[dict[str, int], ...]:
    """Return each image's points by axis; () where there are none.

    Only on an axis of VISIONREWARD an image may have no point.

    Args: columns: of the table, by axis.
    Raises: ImportRefused, also where they are not on the project's axes.
    """
    rated = {
        axis: column
        for axis, column in columns.items()
        if any(row.fields.get(column) is not None for row in rows)
    }
    axes = [axis.name for axis in project.rating_axes]
    if not rated:
        return ()
    if set(rated) - set(axes) or set(axes) - set(rated) - set(VISIONREWARD):
        raise rows[0].refused(
            f"its images are rated on {', '.join(sorted(rated))}, and those of the project on "
            f"{', '.join(sorted(axes))}: import into a project with these axes; a project without tasks "
            "takes them under Settings"
        )
    return tuple(_points(row, {axis: rated[axis] for axis in axes if axis in rated}) for row in rows)


def _points(row: Row, columns: Mapping[str, str]) -> dict[str, int]:
    """Return the points of an image that is rated. Raises: ImportRefused."""
    low, high = SCALE
    points = {
        axis: row.integer(name, low=low, high=high)
        for axis, name in columns.items()
        if axis not in VISIONREWARD or row.fields.get(name) is not None
    }
    if not points:
        raise row.refused("its image is rated on no axis, and others of the prompt are")
    return points


def positions(row: Row, values: list[Any]) -> tuple[int, ...]:
    """Return where each image stood on the page: 1 to K, each once; () where it is not known.

    Args: row: to name where they are wrong; values: of the images, None where not known.
    Raises: ImportRefused.
    """
    if all(value is None for value in values):
        return ()
    numbers = row.with_fields({"positions": values}).integers("positions", low=1, high=len(values))
    if sorted(numbers) != list(range(1, len(values) + 1)):
        raise row.refused(f"the positions of the {len(values)} images are not 1 to {len(values)}, each once")
    return tuple(numbers)


def listed_positions(row: Row, images: int) -> tuple[int, ...]:
    """Return the row's list of positions; () where there is none. Raises ImportRefused."""
    values = row.fields.get("positions")
    if values is None:
        return ()
    if not isinstance(values, list) or len(values) != images:
        raise row.refused(f"'positions' is no list of {images} numbers")
    return positions(row, values)


def seconds(row: Row) -> float | None:
    """Return the seconds that the opinion took; None where they are not known. Raises ImportRefused."""
    return None if row.fields.get("seconds") is None else row.decimal("seconds", low=0)


def acceptable_slots(row: Row, project: Project) -> int | None:
    """Return the last slot with acceptable images, 0 for none; None where not known. Raises ImportRefused."""
    if row.fields.get("acceptable_slots") is None:
        return None
    return row.integer("acceptable_slots", low=0, high=project.slots)


def distinct(rows: list[Row], name: str, *, longest: int) -> list[str]:
    """Return one text per row, all different. Raises ImportRefused."""
    texts: dict[str, Row] = {}
    for row in rows:
        if texts.setdefault(row.text(name, longest=longest), row) is not row:
            raise row.refused(f"{row.fields[name]!r} is there twice")
    return list(texts)
