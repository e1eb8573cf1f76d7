"""What a backup holds beside the database: files that its rows name, and what lies below LAUREL_VAR."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import Value
from django.db.models.functions import Concat, Substr

from annotation.local_images import local_root
from annotation.models import Export, Image, StoredFile
from annotation.registry import PATHS
from annotation.services.recovery.store import MARK
from annotation.stored_files import is_elsewhere, is_unfinished

IMAGES, VAR = "images/", "var/"
# In LAUREL_VAR: while a restore is unfinished; and what a restore moved aside.
UNFINISHED_RESTORE, ASIDE = "unfinished_restore.json", "set-aside-"
PASSES = 10  # over a folder in which files are replaced while it is copied


@dataclass(frozen=True)
class NamedObject:
    """A file in the storage that a row names: `stored` is its name there, and `name` that in a backup."""

    name: str
    stored: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Place:
    """A folder or file below LAUREL_VAR whose files belong together: a run's, a dataset's.

    but: folders in it that stay out.
    """

    path: Path
    but: frozenset[Path] = frozenset()

    def files(self) -> list[tuple[str, Path, os.stat_result]]:
        """Return its files under their names, the longest unchanged first.

        In this order a copy of a folder that is being written is what a crash would have left: what is
        appended to is never behind what was written after it.
        """
        present = []
        for path in _walk(self.path, self.but):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # replaced just now
            present.append((VAR + str(path.relative_to(settings.VAR)), path, status))
        return sorted(present, key=lambda file: file[2].st_mtime_ns)


def images() -> Iterator[NamedObject]:
    """Yield every image of the database, a chunk of rows in memory at a time."""
    rows = Image.objects.order_by("pk").values_list("file", "sha256", "bytes")
    for file, sha256, size in rows.iterator(chunk_size=2000):
        yield NamedObject(IMAGES + file, file, sha256, size)


def stored_units() -> set[str]:
    """Return what a storage has for every host, by the first two parts of names: runs, datasets, exports."""
    names = StoredFile.objects.values_list("name", flat=True) if is_elsewhere() else ()
    return {unit_of(name) for name in names}


def stored_files(unit: str) -> list[NamedObject]:
    """Return the files of one of them as they are stored now."""
    return [
        NamedObject(VAR + row.name, row.object, row.sha256, row.bytes) for row in StoredFile.objects.at(unit)
    ]


def unit_of(name: str) -> str:
    return "/".join(name.split("/")[:2])


def exports() -> list[Path]:
    """Return the archives of finished exports; others are written anew by whoever restores them."""
    finished = Export.objects.filter(state=Export.State.FINISHED).select_related("project")
    return [export.file for export in finished.order_by("pk")]


def places(*, but: Sequence[Path]) -> list[Place]:
    """Return what else lies below LAUREL_VAR. Args: but: folders that stay out, the backup's own one."""
    out = {*left_out(), *but, *(Path(settings.VAR, unit) for unit in stored_units())}
    runs, found = Path(settings.RUNS_DIR), []
    for path in sorted(Path(settings.VAR).iterdir()):
        if path not in out and path.name != UNFINISHED_RESTORE and not path.name.startswith(ASIDE):
            inner = path.iterdir() if path == runs else [path]
            found += [Place(each, frozenset(out)) for each in sorted(inner) if each not in out]
    return found


def left_out() -> set[Path]:
    """Return the folders below LAUREL_VAR that a backup leaves out: made again, or copied row by row."""
    by_rows = {Path(settings.EXPORTS_DIR)} | ({root} if (root := local_root()) else set())
    return {Path(path) for path in settings.NOT_IN_BACKUPS} | by_rows


def outside() -> list[str]:
    """Return the paths of this machine that the database names and that no backup holds."""
    inside = (f"{settings.VAR}/", f"{settings.ROOT}/")
    named = {
        path
        for label, field in PATHS
        for path in _rows(label).filter(**{f"{field}__startswith": "/"}).values_list(field, flat=True)
    }
    return sorted(path for path in named if not path.startswith(inside))


def move_paths(*, var: str) -> None:
    """Let the database name files below this machine's LAUREL_VAR instead of another's. Idempotent."""
    if var == str(settings.VAR):
        return
    for label, field in PATHS:
        rest = Substr(field, len(var) + 1)
        below = _rows(label).filter(**{f"{field}__startswith": f"{var}/"})
        below.update(**{field: Concat(Value(str(settings.VAR)), rest)})


def _rows(label: str) -> models.QuerySet[models.Model]:
    rows: models.QuerySet[models.Model] = apps.get_model(label)._base_manager.all()
    return rows


def _walk(path: Path, but: frozenset[Path]) -> Iterator[Path]:
    """Yield regular files; no other backups, no locks, and nothing half written."""
    if path.is_file():
        if path.suffix != ".lock":
            yield path
        return
    for folder, folders, names in os.walk(path):
        if MARK in names or Path(folder) in but:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not is_unfinished(name)]
        for name in names:
            file = Path(folder) / name
            if not is_unfinished(name) and file.suffix != ".lock" and file.is_file():
                yield file
