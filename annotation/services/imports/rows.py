"""Reading import files row by row, so that every error names file and row."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow
from pyarrow import parquet

BATCH = 2000  # rows written, or read from parquet, at a time
T = TypeVar("T")


class ImportRefused(Exception):
    """The file cannot be imported: "FILE, row N: why". Nothing was written."""


@dataclass(frozen=True)
class Row:
    """One record of a file: a line, an item of its JSON list, a row of its table. Numbers start at 1."""

    file: Path
    number: int
    fields: dict[str, Any]

    def refused(self, reason: object) -> ImportRefused:
        return ImportRefused(f"{self.file}, row {self.number}: {reason}")

    def check_names(self, *, required: Iterable[str], optional: Iterable[str] = ()) -> None:
        """Raises ImportRefused when a field is missing or unknown."""
        missing = [name for name in required if name not in self.fields]
        if missing:
            raise self.refused(f"field {missing[0]!r} is missing")
        unknown = [name for name in self.fields if name not in {*required, *optional}]
        if unknown:
            raise self.refused(f"unknown field {unknown[0]!r}")

    def text(self, name: str, *, longest: int | None = None) -> str:
        """Return a text that is not blank and that Postgres can store. Raises ImportRefused."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.refused(f"{name!r} is no text")
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise self.refused(f"{name!r} holds a letter that is none")
        if longest is not None and len(value) > longest:
            raise self.refused(f"{name!r} is longer than {longest} letters")
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

    def texts(self, name: str, *, longest: int | None = None) -> list[str]:
        """Return a list of texts, all different. Raises ImportRefused."""
        values = self.fields.get(name)
        if not isinstance(values, list):
            raise self.refused(f"{name!r} is no list")
        items = [Row(self.file, self.number, {name: value}).text(name, longest=longest) for value in values]
        if duplicates := [item for item, times in Counter(items).items() if times > 1]:
            raise self.refused(f"{name!r} has {duplicates[0]!r} twice")
        return items

    def integer(self, name: str, *, low: int, high: int) -> int:
        """Return a whole number from low to high. Raises ImportRefused."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.refused(f"{name!r} is {value!r}, not a whole number from {low} to {high}")
        return value

    def decimal(self, name: str, *, low: float) -> float:
        """Return a finite number, `low` at least. Raises ImportRefused."""
        value = self.fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < math.inf:
            raise self.refused(f"{name!r} is {value!r}, not a number from {low:g}")
        return float(value)

    def integers(self, name: str, *, low: int, high: int) -> list[int]:
        """Return a list of whole numbers from low to high. Raises ImportRefused."""
        values = self.fields.get(name)
        if not isinstance(values, list):
            raise self.refused(f"{name!r} is no list")
        return [Row(self.file, self.number, {name: v}).integer(name, low=low, high=high) for v in values]

    def record(self, name: str) -> dict[str, Any]:
        """Return a JSON object that Postgres can store; {} when the field is absent. Raises ImportRefused."""
        value = self.fields.get(name, {})
        if not isinstance(value, dict):
            raise self.refused(f"{name!r} is no object")
        try:
            encoded = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, RecursionError):  # NaN, a lone surrogate, nesting too deep
            raise self.refused(f"{name!r} holds what JSON cannot") from None
        if b"\\u0000" in encoded:
            raise self.refused(f"{name!r} holds a letter that is none")
        return value

    def inside(self, name: str, folder: Path) -> Path:
        """Return the path of a file named relative to the folder. Raises ImportRefused when it is outside.

        A name with ".." is refused even if it ends inside: the same name is also looked up in other folders.
        """
        try:
            path = (folder / name).resolve()
        except (OSError, RuntimeError):  # too long for the file system; a loop of links
            raise self.refused(f"{name!r} is no path") from None
        climbs = Path(name).is_absolute() or ".." in Path(name).parts
        if climbs or not path.is_relative_to(folder.resolve()):
            raise self.refused(f"{name!r} lies outside {folder}")
        return path


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not blank, with their numbers. Raises ImportRefused."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                except UnicodeDecodeError as error:
                    raise ImportRefused(
                        f"{file}, row {number}: is no UTF-8 (byte {error.start + 1})"
                    ) from None
                if text:
                    yield number, text
    except OSError as error:
        raise _unreadable(file, error) from None


def read_rows(file: Path) -> Iterator[Row]:
    """Yield the records of a .jsonl, .json, .csv or .parquet file, or of a folder's .parquet files in order.

    Binary columns are skipped: pictures would exhaust memory. Raises ImportRefused.
    """
    readers = {".jsonl": _read_jsonl, ".json": _read_json, ".csv": _read_csv, ".parquet": _read_parquet}
    for part in parquet_files(file) if file.is_dir() else [file]:
        if part.suffix not in readers:
            raise ImportRefused(f"{part}: is none of {', '.join(readers)}")
        for number, fields in readers[part.suffix](part):
            if not isinstance(fields, dict):
                raise ImportRefused(f"{part}, row {number}: is no object")
            yield Row(part, number, fields)


def parquet_files(file: Path) -> list[Path]:
    """Return the file, or the folder's own .parquet files by name. Raises ImportRefused when it has none."""
    if not file.is_dir():
        return [file]
    parts = sorted(file.glob("*.parquet"))
    if not parts:
        raise ImportRefused(f"{file}: holds no .parquet file")
    return parts


def read_document(file: Path) -> object:
    """Return the JSON value that the file contains. Raises ImportRefused."""
    try:
        document: object = json.loads(file.read_bytes().decode("utf-8-sig"))
        return document
    except UnicodeDecodeError as error:
        row = error.object.count(b"\n", 0, error.start) + 1
        raise ImportRefused(f"{file}, row {row}: is no UTF-8 (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise ImportRefused(f"{file}, row {error.lineno}: is no JSON ({error.msg})") from None
    except ValueError:  # Python reads no whole number of more than 4300 digits
        raise ImportRefused(f"{file}: holds a number that is too long") from None
    except RecursionError:
        raise ImportRefused(f"{file}: is nested too deeply") from None
    except OSError as error:
        raise _unreadable(file, error) from None


def _read_jsonl(file: Path) -> Iterator[tuple[int, Any]]:
    for number, line in read_lines(file):
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise ImportRefused(f"{file}, row {number}: is no JSON ({error.msg})") from None
        except ValueError:  # Python reads no whole number of more than 4300 digits
            raise ImportRefused(f"{file}, row {number}: holds a number that is too long") from None
        except RecursionError:
            raise ImportRefused(f"{file}, row {number}: is nested too deeply") from None


def _read_json(file: Path) -> Iterator[tuple[int, Any]]:
    document = read_document(file)
    if not isinstance(document, list):
        raise ImportRefused(f"{file}: is no list")
    yield from enumerate(document, 1)


def _read_parquet(file: Path) -> Iterator[tuple[int, Any]]:
    try:
        with parquet.ParquetFile(file) as table:
            number = 0
            columns = [field.name for field in table.schema_arrow if not _is_bytes(field.type)]
            for batch in table.iter_batches(batch_size=BATCH, columns=columns):
                for fields in batch.to_pylist():
                    number += 1
                    yield number, fields
    except OSError as error:
        raise _unreadable(file, error) from None
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise ImportRefused(f"{file}: is no parquet that can be read ({error})") from None


def _is_bytes(kind: pyarrow.DataType) -> bool:
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _read_csv(file: Path) -> Iterator[tuple[int, Any]]:
    """Yield rows numbered as in a spreadsheet: the column names are row 1."""
    number = 1
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines, strict=True)
            for number, cells in enumerate(table, 2):
                if None in cells or None in cells.values():
                    raise ImportRefused(f"{file}, row {number}: has not as many cells as there are names")
                yield number, cells
    except UnicodeDecodeError:
        raise ImportRefused(f"{file}: is no UTF-8 after row {number}") from None
    except csv.Error as error:
        raise ImportRefused(f"{file}: is no table after row {number} ({error})") from None
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError) -> ImportRefused:
    if isinstance(error, FileNotFoundError):
        return ImportRefused(f"{file}: is missing")
    return ImportRefused(f"{file}: cannot be read ({error.strerror or error})")
