"""One zip of an export's files: what is downloaded."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

from annotation.services.exports.format import PARTS

EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment a zip knows: equal files give an equal archive
CHUNK = 1 << 20
PACKED = (".zip", ".parquet")  # gain nothing when they are packed once more


def write_archive(*, files: Path, archive: Path, tell: Callable[[], object]) -> tuple[int, str]:
    """Pack the folder under the archive's name; it appears when it is complete.

    Args: tell: called for every piece of at most a mebibyte; what it raises ends the work.
    Returns: bytes, sha256.
    """
    fresh = archive.with_suffix(".new")
    top = archive.stem
    with zipfile.ZipFile(fresh, "w") as pack:
        for file in sorted(path for path in files.rglob("*") if path.is_file()):
            name = file.relative_to(files)
            if name.parts[0] == PARTS:
                continue
            entry = zipfile.ZipInfo(f"{top}/{name}", EPOCH)
            entry.compress_type = zipfile.ZIP_STORED if file.suffix in PACKED else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with file.open("rb") as content, pack.open(entry, "w", force_zip64=True) as out:
                while piece := content.read(CHUNK):
                    out.write(piece)
                    tell()
    size, sha256 = _hash(fresh, tell)
    fresh.replace(archive)
    return size, sha256


def _hash(file: Path, tell: Callable[[], object]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as content:
        while piece := content.read(CHUNK):
            digest.update(piece)
            size += len(piece)
            tell()
    return size, digest.hexdigest()
