"""Unpacking a .zip with manifests or rankings and images, whatever program packed it."""

from __future__ import annotations

import shutil
import unicodedata
import zipfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO

from annotation.services.imports.rows import AS_RANKINGS, ImportRefused, suffix_of
from annotation.services.projects.images import BROKEN

MANIFEST = "manifest.jsonl"
MOST_BYTES = 512 * 2**20  # unpacked; larger ones need the commands
MOST_FILES = 20_000
UTF8_NAME = 0x800  # flag of an entry
LEFT_BY_MACOS = "__MACOSX"
TABLES = (".json", ".jsonl", ".csv", ".tsv", ".parquet")


def unpack(content: IO[bytes], name: str, folder: Path) -> list[Path]:
    """Unpack into the folder and return the files in it, those nearest to the top first.

    Names are composed (NFC), with slashes; nothing is written outside the folder.

    Raises: ImportRefused for a file that is no .zip, is too large, or has a name twice.
    """
    try:
        with zipfile.ZipFile(content) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_FILES:
                raise ImportRefused(f"{name}: has more than {MOST_FILES:,} files")
            # No more of an entry is read than the size it declares here.
            if sum(entry.file_size for entry in entries) > MOST_BYTES:
                raise ImportRefused(f"{name}: unpacks to more than {MOST_BYTES // 2**20} MiB")
            for path, entry in _files(name, entries).items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, target.open("xb") as out:
                    shutil.copyfileobj(packed, out)
    except BROKEN as error:
        raise ImportRefused(f"{name}: cannot be unpacked: {error}") from None
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(files, key=lambda path: (len(path.parts), path))


def manifests_among(files: list[Path], name: str, folder: Path) -> list[Path]:
    """Return the manifests, in the order given. Raises: ImportRefused for none.

    Args: name: of the .zip; folder: to which it was unpacked.
    """
    manifests = [file for file in files if file.name.casefold() == MANIFEST]
    if not manifests:
        tables = _tables(files, folder)
        hint = f". If {tables[0].relative_to(folder)} holds rankings: {AS_RANKINGS}" if tables else ""
        raise ImportRefused(f"{name}: has no {MANIFEST}{hint}")
    return manifests


def table_among(files: list[Path], name: str, folder: Path) -> Path:
    """Return the table nearest to the top, or the folder of several .parquet files.

    Args: name: of the .zip; folder: to which it was unpacked.
    Raises: ImportRefused for no table, and for several of which none is nearer to the top.
    """
    tables = _tables(files, folder)
    if not tables:
        raise ImportRefused(f"{name}: has no {', '.join(TABLES)}")
    first, *others = [table for table in tables if len(table.parts) == len(tables[0].parts)]
    if not others:
        return first
    if all(suffix_of(table) == ".parquet" and table.parent == first.parent for table in (first, *others)):
        return first.parent
    shown = " and ".join(str(table.relative_to(folder)) for table in (first, others[0]))
    raise ImportRefused(f"{name}: has several tables, such as {shown}: send one at a time")


def _tables(files: list[Path], folder: Path) -> list[Path]:
    """Return the tables, without hidden files, such as an Argilla dataset's settings."""
    return [
        file
        for file in files
        if suffix_of(file) in TABLES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]


def _files(name: str, entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the entries to unpack by their paths. Raises: ImportRefused for a path that is there twice."""
    files: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        parts = _parts(entry)
        if entry.is_dir() or not parts or LEFT_BY_MACOS in parts or parts[-1].startswith("._"):
            continue
        path = "/".join(parts)
        if files.setdefault(path, entry) is not entry:
            raise ImportRefused(f"{name}: has {path} twice")
    return files


def _parts(entry: zipfile.ZipInfo) -> list[str]:
    """Return the parts of the entry's path below the folder: none climbs out of it.

    macOS writes UTF-8 without saying so, and some programs of Windows backslashes.
    """
    path = entry.filename
    if not entry.flag_bits & UTF8_NAME:
        with suppress(UnicodeError):  # it is in the code page of old
            path = path.encode("cp437").decode("utf-8")
    path = unicodedata.normalize("NFC", path.replace("\\", "/"))
    return [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
