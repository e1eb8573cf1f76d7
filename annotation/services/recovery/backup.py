"""`manage.py backup`: one moment of the database, and every file that belongs to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from annotation.keys import fingerprints
from annotation.services.recovery import contents, postgres
from annotation.services.recovery.contents import VAR, NamedObject, Place
from annotation.services.recovery.store import (
    DATABASE,
    FILES,
    About,
    BackupFailed,
    BackupFolder,
    Copied,
    Entry,
    Point,
    digest,
)

THREADS = 8  # they mostly wait: for the storage, for the disk
CHUNK = 1024  # images in hand at a time
NAMED_IMAGES = "images.jsonl"

Progress = Callable[[Entry], object]


@dataclass
class _Copying:
    """One backup at work: where it writes, and what it noticed."""

    folder: BackupFolder
    copied: Copied
    progress: Progress
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def back_up(*, folder: Path, progress: Progress = lambda entry: None) -> Point:
    """Make one more backup in a folder. Whatever was copied there before is not copied again.

    1. Dump one moment of the database, and list the images and exports that it names.
    2. Copy the images: they never change, and none is ever removed.
    3. Copy the exports and what else lies below LAUREL_VAR, or in the storage for every host. It may be newer
       than the database; each run's folder is what a crash would have left.
    4. Write down what the backup holds, and only then call it one.

    Memory does not grow with the number of images. Killed at any moment and called again, it goes on.

    Args: progress: called with each file that is now in the backup.
    Raises: BackupFailed; DatabaseError, OSError and what the storage raises where it cannot be reached.
    """
    store = BackupFolder(folder)
    with store.hold():
        store.start()
        copying = _Copying(store, Copied(store), progress)
        about, archives = _dump(store)
        count, size = 0, 0
        with (store.unfinished / FILES).open("w", encoding="utf-8") as files:
            for entry in _copy_all(copying, archives):
                files.write(json.dumps(entry.__dict__, ensure_ascii=False) + "\n")
                count, size = count + 1, size + entry.bytes
                progress(entry)
        (store.unfinished / NAMED_IMAGES).unlink()
        sha256 = {name: digest(store.unfinished / name) for name in (DATABASE, FILES)}
        about |= {"missing": copying.missing, "changed": copying.changed, "sha256": sha256}
        return store.finish(About(**about, files=count, bytes=size))


def _dump(store: BackupFolder) -> tuple[dict[str, Any], list[Path]]:
    """Dump one moment of the database. Returns: what `About` says of it, and its finished exports."""
    server = postgres.server_major()
    by = postgres.programs(least=server)
    with postgres.snapshot() as snapshot:
        taken_at = _time_of_snapshot()
        postgres.dump(store.unfinished / DATABASE, snapshot=snapshot, by=by)
        with (store.unfinished / NAMED_IMAGES).open("w", encoding="utf-8") as names:
            for image in contents.images():
                names.write(json.dumps(astuple(image)) + "\n")
        archives, outside = contents.exports(), contents.outside()
        applied = sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())
    return {
        "taken_at": taken_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "server": server,
        "dumped_by": by.major,
        "migrations": applied,
        "var": str(settings.VAR),
        "keys": fingerprints(settings),
        "outside": outside,
    }, archives


def _time_of_snapshot() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        at: datetime = cursor.fetchone()[0]
        return at


def _copy_all(copying: _Copying, archives: list[Path]) -> Iterator[Entry]:
    with (copying.folder.unfinished / NAMED_IMAGES).open(encoding="utf-8") as names:
        yield from _copy_images(copying, (NamedObject(*json.loads(line)) for line in names))
    units = contents.stored_units()
    for unit in sorted(units):
        yield from _copy_stored(copying, unit)
    for archive in archives:
        if contents.unit_of(str(archive.relative_to(settings.VAR))) in units:
            continue
        name = VAR + str(archive.relative_to(settings.VAR))
        try:
            yield _copy_file(copying, name, archive, archive.stat())
        except FileNotFoundError:
            copying.missing.append(name)
    for place in contents.places(but=[copying.folder.folder]):
        yield from _copy_place(copying, place)


def _copy_stored(copying: _Copying, unit: str) -> list[Entry]:
    """Copy a folder out of the storage, again where a run replaced a file of it meanwhile."""
    for _ in range(contents.PASSES):
        named = contents.stored_files(unit)
        entries = [_copy_object(copying, each) for each in named]
        if all(entries):
            break
    copying.missing += [each.name for each, entry in zip(named, entries, strict=True) if entry is None]
    return list(filter(None, entries))


def _copy_images(copying: _Copying, images: Iterable[NamedObject]) -> Iterator[Entry]:
    remaining = iter(images)
    with ThreadPoolExecutor(THREADS) as pool:
        while chunk := list(islice(remaining, CHUNK)):
            yield from filter(None, pool.map(lambda image: _copy_image(copying, image), chunk))


def _copy_image(copying: _Copying, image: NamedObject) -> Entry | None:
    entry = _copy_object(copying, image)
    if entry is None:
        copying.missing.append(image.name)
    return entry


def _copy_object(copying: _Copying, named: NamedObject) -> Entry | None:
    """Copy an object; None where the storage has none of its name."""
    if copying.folder.has(named.sha256, named.bytes):
        return Entry(named.name, named.sha256, named.bytes)
    try:
        with default_storage.open(named.stored) as source:
            sha256, size = copying.folder.add(cast(BinaryIO, source))
    except FileNotFoundError:
        return None
    if sha256 != named.sha256:
        copying.changed.append(named.name)
    return Entry(named.name, sha256, size)


def _copy_place(copying: _Copying, place: Place) -> list[Entry]:
    """Copy a folder, again where files in it were replaced meanwhile: those of a checkpoint stay together.

    Raises: BackupFailed when they are replaced faster than they are copied.
    """
    for _ in range(contents.PASSES):
        before = place.files()
        entries = []
        for name, path, status in before:
            try:
                entries.append(_copy_file(copying, name, path, status))
            except FileNotFoundError:
                break  # replaced just now
        if _identities(before) == _identities(place.files()):
            return entries
    raise BackupFailed(f"{place.path}: is written faster than it is copied: try again when its run is over")


def _identities(files: list[tuple[str, Path, os.stat_result]]) -> set[tuple[str, int]]:
    """Return each file's name and number on the disk: a replaced one has another, one appended to its own."""
    return {(name, status.st_ino) for name, _, status in files}


def _copy_file(copying: _Copying, name: str, path: Path, status: os.stat_result) -> Entry:
    """Raises: FileNotFoundError."""
    if entry := copying.copied.find(name, status):
        return entry
    with path.open("rb") as source:
        entry = Entry(name, *copying.folder.add(source))
    copying.copied.record(entry, status)
    return entry
