"""Reading the rows of a file one after the other, in bounded memory, whatever its format."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from annotation.services.imports.json_values import parse, read_list
from annotation.services.imports.parquet_tables import Check, parquet_files, read_table
from annotation.services.imports.rows import LONGEST_ROW, ImportRefused, Row, suffix_of
from annotation.services.imports.texts import read_lines, read_raw_lines

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
SEPARATOR_LINE = re.compile(r"sep=([,;\t])\s*")  # what Excel writes and reads above the names


def read_rows(
    file: Path,
    *,
    check: Check | None = None,
    most_bytes: int | None = None,
    longest_item: int = LONGEST_ROW,
    without: Collection[str] = (),
) -> Iterator[Row]:
    """Yield the records of a .jsonl, .json, .csv, .tsv or .parquet file, or of a folder's .parquet files.

    Args:
        check: called with a parquet table's columns, as a row without values, before anything is decoded.
        most_bytes: what parquet tables may decode to; other formats are as large as their file.
        longest_item: letters that an item of a JSON list may have.
        without: columns of parquet tables of which the rows have no values, but UNREAD.
    Raises: ImportRefused, also what `check` raises.
    """
    if file.is_dir() or suffix_of(file) == ".parquet":
        parts = parquet_files(file)
        for part in parts:
            yield from read_table(
                part, check=check, most_bytes=most_bytes, without=without, is_part=len(parts) > 1
            )
        return
    readers: dict[str, Callable[[Path], Iterator[tuple[int, Any]]]] = {
        ".jsonl": _read_jsonl,
        ".json": partial(read_list, longest=longest_item),
        ".csv": _read_csv,
        ".tsv": _read_csv,
    }
    if suffix_of(file) not in readers:
        raise ImportRefused(f"{file}: is none of {', '.join(readers)}, .parquet")
    for number, fields in readers[suffix_of(file)](file):
        if not isinstance(fields, dict):
            raise ImportRefused(f"{file}, row {number}: is no object")
        yield Row(file, number, fields)


def _read_jsonl(file: Path) -> Iterator[tuple[int, Any]]:
    """Yield the value of each line. A JSON list with this suffix is read as one."""
    lines = read_lines(file)
    first = next(lines, None)
    if first is None:
        return
    if first[1].startswith("["):
        yield from read_list(file)
        return
    for number, line in chain([first], lines):
        yield number, parse(file, number, line)


def _read_csv(file: Path) -> Iterator[tuple[int, Any]]:
    """Yield rows numbered as in a spreadsheet: the column names are row 1.

    The delimiter is what gives the line of names the most cells: a comma, a semicolon or a tab.
    """
    lines, number = read_raw_lines(file), 1
    names = next(lines, "")
    if separator := SEPARATOR_LINE.fullmatch(names):
        names, number = next(lines, ""), 2
    try:
        delimiter = separator[1] if separator else max(DELIMITERS, key=lambda mark: _cells(names, mark))
        table = csv.DictReader(chain([names], lines), delimiter=delimiter, strict=True)
        for name, times in Counter(table.fieldnames or ()).items():
            if times > 1:
                raise ImportRefused(f"{file}, row {number}: has the column {name!r} {times} times")
        for cells in table:
            number += 1
            if None in cells or None in cells.values():
                raise ImportRefused(
                    f"{file}, row {number}: has not as many cells between {DELIMITERS[delimiter]} "
                    "as there are names"
                )
            yield number, cells
    except csv.Error as error:
        raise ImportRefused(f"{file}: is no table after row {number} ({error})") from None


def _cells(line: str, delimiter: str) -> int:
    """Return the number of cells of a line. Raises: csv.Error."""
    return len(next(csv.reader([line], delimiter=delimiter), []))
