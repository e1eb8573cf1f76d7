"""`manage.py restore`: a backup, on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from annotation import stored_files
from annotation.models import Action, FileFault, Image, Project, User
from annotation.saving import write_whole
from annotation.services.actions import record_action
from annotation.services.recovery import contents, postgres
from annotation.services.recovery.contents import ASIDE, IMAGES, UNFINISHED_RESTORE, VAR
from annotation.services.recovery.store import (
    DATABASE,
    FILES,
    About,
    BackupDamaged,
    BackupFailed,
    BackupFolder,
    Entry,
    Point,
    digest,
)

THREADS = 4
CHUNK_OF_FILES = 1024
WITHOUT_MODEL = {"django_migrations", "annotation_cache"}  # tables that are Laurel's nevertheless
KEYS = """
import json
from django.conf import settings
from annotation.keys import fingerprints
print(json.dumps(fingerprints(settings)))
"""

Progress = Callable[[Entry], object]
T = TypeVar("T")


class TargetInUse(BackupFailed):
    """Somebody's work lies in the database already, or programs use it."""


@dataclass(frozen=True)
class Restored:
    """What was restored, and what is to be looked at.

    Args:
        copied: files that were not here already.
        set_aside: where files were moved that were here and are not in the backup; None without any.
        outside: paths that the database names, that no backup holds, and that are not here.
        other_keys: settings of keys that are not those of the backed up machine.
    """

    point: Point
    about: About
    copied: int
    set_aside: Path | None
    outside: list[str]
    other_keys: list[str]


def verify(
    *, folder: Path, point: str = "", progress: Progress = lambda entry: None
) -> tuple[BackupFolder, Point, About]:
    """Read every byte of a backup, the newest unless named, and compare it with its hash.

    Raises: BackupDamaged naming the file; BackupFailed where this Laurel is too old to read it.
    """
    store = BackupFolder(folder)
    chosen = store.point(point)
    about = chosen.about()
    _check_migrations(about)
    for name in (DATABASE, FILES):
        _check(chosen.folder / name, about.sha256.get(name, ""), name)
    count = 0
    for entry in _in_threads(lambda entry: _check_entry(store, entry), chosen.entries()):
        count += 1
        progress(entry)
    if count != about.files:
        raise BackupDamaged(f"{chosen.folder / FILES}: names {count:,} files of {about.files:,}")
    return store, chosen, about


def restore(
    *,
    folder: Path,
    point: str = "",
    replace: bool,
    now: datetime,
    checking: Progress = lambda entry: None,
    progress: Progress = lambda entry: None,
) -> Restored:
    """Put a backup in the place of what is here: nothing, unless `replace` is given.

    1. Read the whole backup, and see that the database can take it; only then touch anything.
    2. Move aside the files below LAUREL_VAR that are not in it, as those of runs that it does not know.
    3. Copy its files, each whole; those that are here already stay.
    4. Load the database in one transaction, apply newer migrations, and correct paths.
    5. With a storage elsewhere, store the files that every host needs.

    Killed at any moment and called again, it goes on.

    Args: checking, progress: called with each file that was verified, and with each that is restored.
    Raises: BackupFailed; TargetInUse; DatabaseError, OSError.
    """
    store, chosen, about = verify(folder=folder, point=point, progress=checking)
    by = _check_target(chosen, about, replace=replace)
    marker = Path(settings.VAR) / UNFINISHED_RESTORE
    with write_whole(marker) as unfinished:
        unfinished.write_text(json.dumps(str(chosen.folder)))
    aside = _set_aside(chosen, but=store.folder, now=now)
    copied = 0
    for entry, is_new in _in_threads(lambda entry: (entry, _restore_file(store, entry)), chosen.entries()):
        copied += is_new
        progress(entry)
    os.sync()
    connection.close()
    postgres.load(chosen.folder / DATABASE, by=by)
    call_command("migrate", interactive=False, verbosity=0)
    contents.move_paths(var=about.var)
    stored_files.store_all(afresh=True)
    record_action(Action.Kind.RESTORED, project=None, by=None, subject=chosen.name, taken_at=about.taken_at)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # a fresh database has no statistics, and pages would be slow
    marker.unlink()
    outside = [path for path in contents.outside() if not Path(path).exists()]
    return Restored(chosen, about, copied, aside, outside, _other_keys(about))


def put_back(*, folder: Path) -> tuple[list[str], list[str]]:
    """Put back the files that the scheduled look found gone or changed, from any backup of the folder.

    Returns: the names of files put back, and of those that no backup has as they were.
    Raises: BackupFailed; OSError.
    """
    store = BackupFolder(folder)
    store.points()  # whether it is a folder of backups
    done: list[str] = []
    for fault in FileFault.objects.all():
        file = store.object(fault.sha256)
        if fault.sha256 and file.is_file() and digest(file) == fault.sha256:
            if not stored_files.put_back(fault.name.removeprefix(VAR), fault.sha256, file):
                _restore_file(store, Entry(fault.name, fault.sha256, file.stat().st_size))
            done.append(fault.name)
            fault.delete()
    return done, list(FileFault.objects.values_list("name", flat=True))


def _check_migrations(about: About) -> None:
    """Raises: BackupFailed where the backup has tables that this Laurel does not know."""
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    newer = [name for name in about.migrations if name not in known]
    if newer:
        raise BackupFailed(
            f"a newer Laurel made this backup: this one does not know {newer[-1]}: update it first"
        )


def _check(file: Path, sha256: str, name: str) -> None:
    """Raises: BackupDamaged."""
    try:
        if digest(file) == sha256:
            return
    except OSError as error:
        raise BackupDamaged(f"{name}: {file} cannot be read ({error.strerror})") from None
    raise BackupDamaged(f"{name}: {file} is damaged: its bytes are not those that were backed up")


def _check_entry(store: BackupFolder, entry: Entry) -> Entry:
    """Raises: BackupDamaged."""
    _check(store.object(entry.sha256), entry.sha256, entry.name)
    return entry


def _check_target(chosen: Point, about: About, *, replace: bool) -> postgres.Programs:
    """Return the programs that load the dump. Raises: BackupFailed; TargetInUse."""
    server = postgres.server_major()
    if server < about.dumped_by:
        raise BackupFailed(
            f"pg_dump of PostgreSQL {about.dumped_by} made this backup, and this server is {server}: "
            f"restore it into PostgreSQL {about.dumped_by} or later"
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        others = cursor.fetchone()[0]
    if others:
        raise TargetInUse(f"{others} other connections use the database: stop web processes and workers")
    marker = Path(settings.VAR) / UNFINISHED_RESTORE
    goes_on = marker.exists() and json.loads(marker.read_text()) == str(chosen.folder)
    if not (replace or goes_on) and (present := _present()):
        raise TargetInUse(f"the database has {present}: --replace puts the backup in their place")
    return postgres.programs(least=about.dumped_by, most=server)


def _present() -> str:
    """Say what the database holds that somebody would miss; "" where it is new."""
    tables = set(connection.introspection.table_names())
    foreign = sorted(tables - set(connection.introspection.django_table_names()) - WITHOUT_MODEL)
    if foreign:
        return f"tables of something else ({foreign[0]})"
    for model in (User, Project, Image):
        if model._meta.db_table in tables and (count := model._base_manager.count()):
            return f"{count:,} {model._meta.verbose_name_plural}"
    return ""


def _set_aside(chosen: Point, *, but: Path, now: datetime) -> Path | None:
    """Move files of runs and exports that the backup does not have out of the way of runs to come.

    Their numbers are given once more: a new run must not go on from another one's checkpoint.
    """
    names = {entry.name for entry in chosen.entries() if entry.name.startswith(VAR)}
    folders = [Path(settings.RUNS_DIR), Path(settings.EXPORTS_DIR)]
    aside = Path(settings.VAR) / f"{ASIDE}{now:%Y%m%dT%H%M%S}"
    for folder in folders:
        inner = [path for path in folder.glob("*") if path not in {*contents.left_out(), but}]
        for place in inner:
            for name, path, _ in contents.Place(place).files():
                if name not in names:
                    target = aside / name.removeprefix(VAR)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    path.rename(target)
    return aside if aside.exists() else None


def _restore_file(store: BackupFolder, entry: Entry) -> bool:
    """Put a file where it belongs, unless it is there. Returns: whether it was not."""
    source = store.object(entry.sha256)
    if entry.name.startswith(IMAGES):
        return _restore_image(source, entry.name.removeprefix(IMAGES), entry)
    target = Path(settings.VAR) / entry.name.removeprefix(VAR)
    if target.is_file() and target.stat().st_size == entry.bytes and digest(target) == entry.sha256:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(target) as unfinished:
        unfinished.touch(mode=0o600)
        shutil.copyfile(source, unfinished)
    return True


def _restore_image(source: Path, name: str, entry: Entry) -> bool:
    if default_storage.exists(name):
        with default_storage.open(name) as stored:
            if hashlib.file_digest(stored, "sha256").hexdigest() == entry.sha256:
                return False
        default_storage.delete(name)
    with source.open("rb") as content:
        default_storage.save(name, File(content))
    return True


def _other_keys(about: About) -> list[str]:
    """Return the settings of keys that the processes to come have otherwise than those backed up had.

    Another process reads them: this one began before the files of keys were restored.
    """
    command = [sys.executable, "-c", KEYS]
    answer = subprocess.run(command, cwd=settings.ROOT, capture_output=True, text=True, check=True)
    keys = json.loads(answer.stdout)
    return [name for name, fingerprint in about.keys.items() if keys.get(name) != fingerprint]


def _in_threads(work: Callable[[Entry], T], entries: Iterator[Entry]) -> Iterator[T]:
    """Yield what the work returns of each, in order, with a chunk of them in memory at a time."""
    with ThreadPoolExecutor(THREADS) as pool:
        while chunk := list(islice(entries, CHUNK_OF_FILES)):
            yield from pool.map(work, chunk)
