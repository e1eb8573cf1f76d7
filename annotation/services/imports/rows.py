"""A row of a file to import, whose checks name file and row."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar
from unicodedata import normalize

from annotation.models.projects import MOST_LETTERS

BATCH = 2000  # rows written, or read from parquet, at a time
LARGEST = 1_000_000_000  # decimal: seconds, say
LONGEST_ROW = 2**20  # letters of a line, or of a JSON list's item
LONGEST_ITEM = 64 * 2**20  # of one that may hold images, as text
LONGEST_STEM = 60  # letters of a file's name that name its rows
NAMES_SHOWN = 200  # letters of a row's own names, beside the one that it lacks
NO_LETTER = re.compile("[\\0\\ud800-\\udfff]")
AS_PROMPTS = (
    "send it under Add prompts or images on the page Prompts, as `material` over the API, or import it by "
    "manage.py import_prompts or import_generations"
)
AS_RANKINGS = (
    "send it under Add rankings on the page Prompts, as `rankings` over the API, or import it by "
    "manage.py import_rankings"
)
FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
T = TypeVar("T")


class ImportRefused(Exception):
    """The file cannot be imported: "FILE, row N: why". Nothing was written."""


@dataclass(frozen=True)
class Row:
    """One record of a file: a line, an item of its JSON list, a row of its table. Numbers start at 1.

    `is_part`: its table is one of several, each of which begins with row 1, in one import or in one project.
    """

    file: Path
    number: int
    fields: dict[str, Any]
    is_part: bool = False

    @property
    def full_name(self) -> str:
        """What tells the row from those of other tables, too."""
        return f"{self.file.stem[-LONGEST_STEM:]}-{self.number}"

    @property
    def name(self) -> str:
        """What tells the row from those that are read with it, and is the same in another import."""
        return self.full_name if self.is_part else str(self.number)

    def refused(self, reason: object) -> ImportRefused:
        return ImportRefused(f"{self.file}, row {self.number}: {reason}")

    def with_fields(self, fields: dict[str, Any]) -> Row:
        """Return a row of other fields, whose checks name the same file and row."""
        return Row(self.file, self.number, fields, self.is_part)

    def check_names(self, *, required: Iterable[str], optional: Iterable[str] = ()) -> None:
        """Raises ImportRefused when a field is missing or unknown."""
        missing = [name for name in required if name not in self.fields]
        if missing:
            names = ", ".join(map(repr, self.fields))[:NAMES_SHOWN] or "none"
            raise self.refused(f"field {missing[0]!r} is missing: its fields are {names}")
        unknown = [name for name in self.fields if name not in {*required, *optional}]
        if unknown:
            raise self.refused(f"unknown field {unknown[0]!r}")

    def text(self, name: str, *, longest: int = MOST_LETTERS) -> str:
        """Return a text that is not blank and that Postgres can store. Raises ImportRefused.

        Args: longest: in letters; what no project's prompts exceed is refused before many rows are held.
        """
        value = self.fields.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.refused(f"{name!r} is no text")
        if len(value) > longest:
            raise self.refused(f"{name!r} is longer than {longest:,} letters")
        if NO_LETTER.search(value):
            raise self.refused(f"{name!r} holds a letter that is none")
        return value

    def optional_text(self, name: str) -> str:
        """Return the text, or "" when the field is absent, null or empty. Raises ImportRefused."""
        return "" if self.fields.get(name) in (None, "") else self.text(name)

    def flag(self, name: str) -> bool:
        """Return true or false; false when the field is absent. Raises ImportRefused."""
        value = self.fields.get(name, False)
        if not isinstance(value, bool):
            raise self.refused(f"{name!r} is neither true nor false")
        return value

    def texts(self, name: str, *, longest: int = MOST_LETTERS) -> list[str]:
        """Return a list of texts, all different. Raises ImportRefused."""
        values = self.fields.get(name)
        if not isinstance(values, list):
            raise self.refused(f"{name!r} is no list")
        items = [self.with_fields({name: value}).text(name, longest=longest) for value in values]
        if duplicates := [item for item, times in Counter(items).items() if times > 1]:
            raise self.refused(f"{name!r} has {duplicates[0]!r} twice")
        return items

    def integer(self, name: str, *, low: int, high: int) -> int:
        """Return a whole number from low to high. Raises ImportRefused."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.refused(f"{name!r} is {value!r}, not a whole number from {low} to {high}")
        return value

    def decimal(self, name: str, *, low: float, high: float = LARGEST) -> float:
        """Return a number from low to high. Raises ImportRefused."""
        value = self.fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.refused(f"{name!r} is {repr(value)[:40]}, not a number from {low:g} to {high:,}")
        return float(value)

    def picture(self, name: str) -> bytes | None:
        """Return a picture, as bytes or as `datasets` has it; None without one. Raises ImportRefused."""
        value = self.fields.get(name)
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is not None and not isinstance(content, bytes):
            raise self.refused(f"{name!r} holds {type(content).__name__}, not the bytes of a picture")
        return content

    def integers(self, name: str, *, low: int, high: int) -> list[int]:
        """Return a list of whole numbers from low to high. Raises ImportRefused."""
        values = self.fields.get(name)
        if not isinstance(values, list):
            raise self.refused(f"{name!r} is no list")
        return [self.with_fields({name: v}).integer(name, low=low, high=high) for v in values]

    def record(self, name: str) -> dict[str, Any]:
        """Return a JSON object that Postgres can store; {} when the field is absent. Raises ImportRefused."""
        value = self.fields.get(name, {})
        if not isinstance(value, dict):
            raise self.refused(f"{name!r} is no object")
        try:
            encoded = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, TypeError, RecursionError):  # NaN, a lone surrogate, a date, nesting too deep
            raise self.refused(f"{name!r} holds what JSON cannot") from None
        if b"\\u0000" in encoded:
            raise self.refused(f"{name!r} holds a letter that is none")
        return value

    def inside(self, name: str, folder: Path) -> Path:
        """Return the path of a file named relative to the folder. Raises ImportRefused when it is outside.

        The file may have the name in another form of Unicode, as on macOS, and slashes for backslashes.
        A name with ".." is refused even if it ends inside: the same name is also looked up in other folders.
        """
        slashed = name.replace("\\", "/")
        names = dict.fromkeys((name, *(normalize(form, each) for each in (name, slashed) for form in FORMS)))
        try:
            paths = [(folder / each).resolve() for each in names]
            path = next((path for path in paths if os.path.exists(path)), paths[0])
        except (OSError, RuntimeError, ValueError):  # too long; a loop of links; a letter that is none
            raise self.refused(f"{name!r} is no path") from None
        climbs = Path(slashed).is_absolute() or ".." in Path(slashed).parts
        if climbs or not path.is_relative_to(folder.resolve()):
            raise self.refused(f"{name!r} lies outside {folder}")
        return path


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def suffix_of(file: Path) -> str:
    """Return the suffix that names the format: P.TXT is a .txt."""
    return file.suffix.lower()


def unreadable(file: Path, error: OSError) -> ImportRefused:
    if isinstance(error, FileNotFoundError):
        return ImportRefused(f"{file}: is missing")
    return ImportRefused(f"{file}: cannot be read ({error.strerror or error})")
