"""Reading parquet tables in bounded memory, however well they are compressed: names first, sizes next."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow
from pyarrow import parquet

from annotation.services.imports.rows import BATCH, ImportRefused, Row, suffix_of, unreadable

# Arrow's own allocator reserves a GiB of addresses at once, which the bound on an import's memory counts.
pyarrow.set_memory_pool(pyarrow.system_memory_pool())

LARGEST_BATCH = 64 * 2**20  # bytes that the rows decoded together may take
NUMBER_BYTES = 8
ROW_BYTES = 64  # of a row beside its values: ten million rows of one letter fit into 30 kB
HEADER_BYTES = 16  # of a page, in which its kind and size are
PAGE_HEADER = re.compile(rb"\x15([\x80-\xff]*[\x00-\x7f])\x15([\x80-\xff]*[\x00-\x7f])", re.DOTALL)
DICTIONARY_PAGE = 2
UNREAD: dict[str, Any] = {}  # in place of a value: what `datasets` writes of a picture, without its bytes
Check = Callable[[Row], None]


def read_table(
    file: Path,
    *,
    check: Check | None,
    most_bytes: int | None,
    without: Collection[str] = (),
    is_part: bool = False,
) -> Iterator[Row]:
    """Yield the rows of a table, with UNREAD for bytes: pictures would exhaust memory.

    Args: check, most_bytes, without: as `read_rows` has it; is_part: as `Row` has it.
    Raises: ImportRefused.
    """
    try:
        with parquet.ParquetFile(file) as table:
            columns = {f.name: [] if f.name in without else _readable(f) for f in table.schema_arrow}
            if check:
                check(Row(file, 1, dict.fromkeys(columns)))
            names = [name for readable in columns.values() for name in readable]
            unread = {name: UNREAD for name, readable in columns.items() if not readable}
            chunks = _chunks(table.metadata, names)
            if most_bytes is not None and _listed_bytes(table.metadata, chunks) > most_bytes:
                raise _too_large(file, most_bytes)
            number = size = 0
            for part in table.iter_batches(_rows_at_once(file, chunks), columns=names, use_threads=False):
                batch = _without_dictionaries(part)
                size += batch.nbytes + len(batch) * ROW_BYTES
                if most_bytes is not None and size > most_bytes:
                    raise _too_large(file, most_bytes)
                if batch.nbytes > LARGEST_BATCH:
                    raise Row(file, number + 1, {}).refused("this row, or one soon after it, is too large")
                for row in batch.to_pylist():
                    number += 1
                    yield Row(file, number, row | unread, is_part)
    except OSError as error:
        raise unreadable(file, error) from None
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:  # the latter: of odd texts and dates
        raise ImportRefused(f"{file}: is no parquet that can be read ({error})") from None


def parquet_files(file: Path) -> list[Path]:
    """Return the file, or the folder's own .parquet files by name. Raises ImportRefused when it has none."""
    if not file.is_dir():
        return [file]
    parts = sorted(part for part in file.iterdir() if suffix_of(part) == ".parquet")
    if not parts:
        raise ImportRefused(f"{file}: holds no .parquet file")
    return parts


def _chunks(metadata: parquet.FileMetaData, names: list[str]) -> list[Any]:
    """Return the listing of the columns' chunks. The path issues.list.element is of the column issues.

    Args: names: of columns, or of one field of a column of records: chosen.path.
    """
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
    paths = ((chunk.path_in_schema, chunk) for chunk in chunks)
    return [chunk for path, chunk in paths if path in names or path.partition(".")[0] in names]


def _listed_bytes(table: parquet.FileMetaData, chunks: list[Any]) -> int:
    """Return what the chunks decode to by the file's own listing, repeated texts counted once."""
    values = sum(max(chunk.total_uncompressed_size, chunk.num_values * NUMBER_BYTES) for chunk in chunks)
    return int(values + table.num_rows * ROW_BYTES)


def _rows_at_once(file: Path, chunks: list[Any]) -> int:
    """Return how many rows take no more than LARGEST_BATCH, if each has its column's longest repeated text.

    Raises: ImportRefused for texts of which each begins as the one before, as it may have no end of them.
    """
    longest: dict[str, int] = {}  # by column
    with file.open("rb") as content:
        for chunk in chunks:
            if "DELTA_BYTE_ARRAY" in chunk.encodings:
                raise ImportRefused(
                    f"{file}: {chunk.path_in_schema!r} is encoded as DELTA_BYTE_ARRAY: write it another way"
                )
            if chunk.physical_type == "BYTE_ARRAY" and chunk.num_values:
                mean = chunk.total_uncompressed_size // chunk.num_values
                row = mean + _dictionary_bytes(chunk, content)
                longest[chunk.path_in_schema] = max(longest.get(chunk.path_in_schema, 0), row)
    return max(1, min(BATCH, LARGEST_BATCH // max(1, sum(longest.values()))))


def _dictionary_bytes(chunk: Any, content: BinaryIO) -> int:
    """Return the size of the chunk's dictionary: any number of rows may have the longest text in it."""
    content.seek(chunk.dictionary_page_offset or chunk.data_page_offset)
    kind, size = page_header(content.read(HEADER_BYTES))
    return size if kind == DICTIONARY_PAGE else 0


def page_header(content: bytes) -> tuple[int, int]:
    """Return the kind of a page, and its bytes when decompressed. Raises: OSError for what is no header.

    Source: PageHeader of Apache parquet-format. Its first fields are `type` and `uncompressed_page_size`, i32
    both: in Thrift's compact protocol a byte 0x15, then the number in zigzag, 7 bits a byte, lowest first.
    """
    fields = PAGE_HEADER.match(content)
    if fields is None:
        raise OSError("a page has no header")
    kind, size = (
        sum((byte & 0x7F) << 7 * i for i, byte in enumerate(field)) >> 1 for field in fields.groups()
    )
    return kind, size


def _too_large(file: Path, most_bytes: int) -> ImportRefused:
    return ImportRefused(
        f"{file}: decodes to more than {most_bytes // 2**20:,} MiB: larger files need manage.py"
    )


def _without_dictionaries(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Return the rows with each text as often as it is there."""
    columns = [
        column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pyarrow.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _readable(field: pyarrow.Field) -> list[str]:
    """Return the column's name, the names of its fields where some of them are bytes; [] for bytes."""
    if pyarrow.types.is_struct(field.type):
        inner = [field.type.field(i) for i in range(field.type.num_fields)]
        if any(_is_bytes(each.type) for each in inner):
            return [f"{field.name}.{each.name}" for each in inner if not _is_bytes(each.type)]
    return [] if _is_bytes(field.type) else [field.name]


def _is_bytes(kind: pyarrow.DataType) -> bool:
    kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))
