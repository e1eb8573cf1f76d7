"""Pictures within a format's files, which are put into a folder for the import to find."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow
from pyarrow import parquet

from annotation.services.imports.parquet_tables import parquet_files
from annotation.services.imports.rows import ImportRefused, Row, suffix_of

BATCH = 64  # rows with pictures in memory


@dataclass
class PictureFolder:
    """A folder into which pictures are put that are within a file.

    Args: most_bytes: of all of them, and of those in .zips, which are read where they are; None: any number.
    """

    path: Path
    most_bytes: int | None
    size: int = 0  # bytes, so far

    def add(self, file: Path, name: str, picture: bytes) -> None:
        """Write a picture of the file. Raises: ImportRefused for one too many; OSError."""
        self.count(file, len(picture))
        (self.path / name).write_bytes(picture)

    def count(self, file: Path, size: int) -> None:
        """Count bytes of a picture of the file. Raises: ImportRefused where they are too many."""
        self.size += size
        if self.most_bytes is not None and self.size > self.most_bytes:
            most = f"{self.most_bytes // 2**20:,} MiB"
            raise ImportRefused(f"{file}: its pictures have more than {most}: larger files need manage.py")


def file_name(*parts: str) -> str:
    """Return a file name for an image that these tell from others, which may be no names themselves."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def unpack_tables(
    file: Path,
    names: Iterable[str],
    into: PictureFolder,
    *,
    columns: Collection[str],
    keys: Collection[str],
    pictures: Callable[[Row], Iterable[tuple[str, bytes | None]]],
) -> set[str]:
    """Extract pictures in a second pass over parquet tables, a few in memory at a time.

    Args:
        file: a table or a folder of tables; in another format there are none.
        names: of the files that are wanted.
        columns: that hold them; a table without any is passed over.
        keys: further columns, by which files are named.
        pictures: of a row with these columns, each with the name of its file; may raise ImportRefused.
    Returns: the names of those whose cells are empty.
    Raises: ImportRefused.
    """
    if not file.is_dir() and suffix_of(file) != ".parquet":
        return set()
    wanted, empty = set(names), set()
    for part in parquet_files(file):
        try:
            with parquet.ParquetFile(part) as table:
                present = set(table.schema_arrow.names)
                if present.isdisjoint(columns):
                    continue
                read = [name for name in (*columns, *keys) if name in present]
                number = 0
                for batch in table.iter_batches(batch_size=BATCH, columns=read):
                    for fields in batch.to_pylist():
                        number += 1
                        for name, picture in pictures(Row(part, number, fields)):
                            if name in wanted and picture is None:
                                empty.add(name)
                            elif name in wanted and picture is not None:
                                into.add(part, name, picture)
                                wanted.discard(name)
        except (OSError, pyarrow.ArrowException) as error:
            raise ImportRefused(f"{part}: its pictures cannot be read ({error})") from None
    return empty & wanted
