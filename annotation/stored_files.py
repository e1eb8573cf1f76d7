"""Files below LAUREL_VAR that every host reads: datasets, runs, exports, uploads.

On a local storage they are the files themselves: nothing is stored, fetched or removed here. With a storage
elsewhere a host works on files of its own, `store`s them, and lets go of them; `local_copy` and `open_file`
read what was stored last, on any host, out of the cache that images share. A stored file is a row, by its
path, and an object in the storage, by its path and hash.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.timezone import now

from annotation.local_images import cached_name, fetch_object, local_images, local_root
from annotation.models import LooseObject, StoredFile
from annotation.places import name_below_var

THREADS = 4  # they mostly wait for the storage; each has a connection of its own to it
LISTINGS = 50  # of a folder that is being written, until two are equal
OLD_VIEW = 30 * 24 * 60 * 60.0  # seconds
LOOSE = timedelta(days=1)  # after which an object that no row names is nobody's any more

Identity = tuple[int, int, int]  # number on the disk, bytes, when it changed
Listing = dict[str, Identity]  # name -> what the file is
Digests = dict[str, tuple[Identity, str]]  # name -> what the file was when its sha256 was taken, and that


class NotStored(FileNotFoundError):
    """The storage lacks an object that a row names; the message names it."""


class StillWritten(OSError):
    """A folder is written faster than it can be listed."""


def is_elsewhere() -> bool:
    """Whether the storage is none of this machine's folders."""
    return local_root() is None


@contextmanager
def local_copy(path: Path | str) -> Iterator[Path]:
    """Provide a file or folder as it was stored last, on this machine; it is not to be written to.

    What was never stored, such as what lies outside of LAUREL_VAR, is the path itself: also a hub id.

    Raises: NotStored; what the storage raises where it cannot be reached.
    """
    path = Path(path)
    with ExitStack() as stack:
        rows: list[StoredFile] = []
        while (latest := _rows(path)) != rows:  # again, where they were replaced before they were fetched
            rows = latest
            objects = stack.enter_context(local_images([row.object for row in rows]))
            missing = [row for row in rows if not (objects / cached_name(row.object)).is_file()]
            if not missing:
                break
        else:
            if rows:
                raise NotStored(f"{missing[0].name}: the storage has no {missing[0].object}")
        yield stack.enter_context(_view(rows, path, objects)) if rows else path


@contextmanager
def _view(rows: list[StoredFile], path: Path, objects: Path) -> Iterator[Path]:
    """Provide the stored files of a folder under their names in it, or a file under its own: as links."""
    for left in objects.parent.glob("view-*"):
        with suppress(FileNotFoundError):  # its process has just removed it
            if left.stat().st_mtime < time() - OLD_VIEW:  # of one that was killed
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=objects.parent, prefix="view-") as view:
        for row in rows:
            link = Path(view, path.name, Path(settings.VAR, row.name).relative_to(path))
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(objects / cached_name(row.object))
        yield Path(view, path.name)


def open_file(path: Path) -> BinaryIO:
    """Open a file to read, as it was stored last. Raises: FileNotFoundError."""
    with local_copy(path) as file:
        return file.open("rb")


def open_stored(path: Path) -> Any:
    """Open a file to read as the storage has it, past any copy. Raises: FileNotFoundError."""
    rows = _rows(path)
    return default_storage.open(rows[0].object) if rows else path.open("rb")


def file_names(folder: Path) -> list[str]:
    """Return the files of a folder, by their paths relative to it."""
    if rows := _rows(folder):
        name = cast(str, name_below_var(folder))
        return [row.name.removeprefix(f"{name}/") for row in rows]
    return sorted(str(path.relative_to(folder)) for path in _files_in(folder))


def stored_digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each stored file of a folder, by its name below LAUREL_VAR."""
    return {row.name: row.sha256 for row in _rows(folder)}


def exists(path: Path) -> bool:
    """Whether there is such a file or folder, stored or on this machine."""
    return bool(_rows(path)) or path.exists()


def store(path: Path, *, fence: Callable[[], object] = lambda: None, digests: Digests | None = None) -> None:
    """Let every host have a file, or the files of a folder, as they are at one moment.

    What is appended to or replaced meanwhile is stored as it was. Of a process that is killed meanwhile,
    what was stored before stays whole.

    Args:
        fence: called in the transaction that changes the rows; raises where they are no longer this
            process's to change.
        digests: of an earlier call, so that unchanged files are not read again; it is updated.
    Raises: StillWritten; what `fence` raises, and the storage where it cannot be reached.
    """
    name = name_below_var(path)
    if name is None or not is_elsewhere() or not path.exists():
        return
    digests = {} if digests is None else digests
    with _held(path, digests) as files:
        there = dict(StoredFile.objects.at(name).values_list("name", "sha256"))
        new = [file for file in files.values() if there.get(file.name) != file.row.sha256]
        gone = [gone for gone in there if gone not in files]
        if not new and not gone:
            return
        _note_loose([file.row.object for file in new])
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(_put, new):
                pass
        with transaction.atomic():
            fence()
            old = StoredFile.objects.filter(name__in=[*gone, *(file.name for file in new)])
            loose = _note_loose([row.object for row in old])
            LooseObject.objects.filter(name__in=[file.row.object for file in new]).delete()
            old.delete()
            StoredFile.objects.bulk_create([file.row for file in new])
            transaction.on_commit(lambda: _delete_objects(loose))


def fetch(path: Path) -> None:
    """Put a folder on this machine to work on, as it was stored last; without such, leave what is there.

    Raises: NotStored; what the storage raises where it cannot be reached.
    """
    rows = _rows(path)
    if not rows:
        return
    shutil.rmtree(path, ignore_errors=True)
    for row in rows:
        file = Path(settings.VAR, row.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        fetch_object(row.object, file)
        if not file.is_file():
            raise NotStored(f"{row.name}: the storage has no {row.object}")


def store_all(*, afresh: bool = False) -> int:
    """Let every host have what this one has of datasets, runs, exports and uploads, and let go of it.

    Args: afresh: what the rows name may be missing in the storage, as after a restore. Then files that were
        stored from elsewhere below LAUREL_VAR, such as registered folders, are stored once more as well.
    Returns: how many files and folders were stored.
    """
    if not is_elsewhere():
        return 0
    others = []
    if afresh:
        others = [Path(settings.VAR, name) for name in StoredFile.objects.values_list("name", flat=True)]
        StoredFile.objects.all().delete()
    folders = (settings.DATASETS_DIR, settings.RUNS_DIR, settings.EXPORTS_DIR, settings.UPLOADS_DIR)
    caches = {Path(path) for path in settings.NOT_IN_BACKUPS}
    units = [unit for folder in folders for unit in Path(folder).glob("*") if unit not in caches]
    for unit in units:
        store(unit)
        let_go(unit)
    here = [path for path in others if path.is_file()]
    for path in here:
        store(path)
    return len(units) + len(here)


def put_back(name: str, sha256: str, content: Path) -> bool:
    """Store a file's object again, of which the storage lost or changed the bytes.

    Returns: whether it is one that was stored, with this hash.
    """
    row = StoredFile.objects.filter(name=name, sha256=sha256).first() if is_elsewhere() else None
    if row is None:
        return False
    default_storage.delete(row.object)
    _put(_HeldFile(content, row))
    return True


def let_go(path: Path) -> None:
    """Remove what this machine has of a stored file or folder: from now on copies are read."""
    if _rows(path):
        remove_local(path)


def remove(path: Path) -> None:
    """Remove a file or folder, here and from the storage, when the transaction is committed."""
    name = name_below_var(path)
    loose: list[str] = []
    if name is not None and is_elsewhere():
        rows = StoredFile.objects.at(name)
        loose = _note_loose([row.object for row in rows])
        rows.delete()

    def remove_both() -> None:
        remove_local(path)
        _delete_objects(loose)

    transaction.on_commit(remove_both)


def remove_local(path: Path) -> None:
    """Remove a file or folder from this machine."""
    if path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def delete_loose() -> int:
    """Delete objects that a killed process left in the storage. Returns: how many."""
    old, deleted = LooseObject.objects.filter(since__lt=now() - LOOSE), 0
    for loose in list(old):
        with transaction.atomic():  # who stores the same file once more notes it anew before, or waits
            if old.select_for_update().filter(pk=loose.pk).first() is not None:
                _delete_objects([loose.name])
                deleted += 1
    return deleted


def _rows(path: Path) -> list[StoredFile]:
    name = name_below_var(path)
    return list(StoredFile.objects.at(name)) if name is not None and is_elsewhere() else []


@dataclass(frozen=True)
class _HeldFile:
    """A file that stays as it was: `path` is another name of it, and only its first bytes count."""

    path: Path
    row: StoredFile

    @property
    def name(self) -> str:
        return self.row.name


def held_beside(path: Path) -> Path:
    """Where files have second names while their folder is stored; a process that is killed leaves it."""
    return path.with_name(f".{path.name}.held.new")


@contextmanager
def _held(path: Path, digests: Digests) -> Iterator[dict[str, _HeldFile]]:
    """Provide the files of one moment by their names. Raises: StillWritten."""
    held = held_beside(path)
    shutil.rmtree(held, ignore_errors=True)
    try:
        listed = listing(path)
        for _ in range(LISTINGS):
            links = _link_changed(listed, held, digests)
            again = listing(path)
            if again == listed:
                break
            listed = again
        else:
            raise StillWritten(f"{path}: is written faster than it can be listed")
        for name in digests.keys() - listed.keys():
            del digests[name]
        files = {}
        for name, identity in listed.items():
            if name in links:
                digests[name] = identity, _digest(links[name], identity[1])
            row = StoredFile(name=name, sha256=digests[name][1], bytes=identity[1])
            files[name] = _HeldFile(links.get(name, Path(settings.VAR, name)), row)
        yield files
    finally:
        shutil.rmtree(held, ignore_errors=True)


def listing(path: Path) -> Listing:
    """Return what a file is, or each file of a folder, by their names."""
    listed = {}
    for file in _files_in(path):
        try:
            status = file.stat()
        except FileNotFoundError:
            continue  # replaced just now
        listed[file.relative_to(settings.VAR).as_posix()] = (
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
        )
    return listed


def _link_changed(listed: Listing, held: Path, digests: Digests) -> dict[str, Path]:
    """Give each file that was not read yet one more name, which stays when another file replaces it."""
    shutil.rmtree(held, ignore_errors=True)
    held.mkdir(parents=True)
    links = {}
    for number, (name, identity) in enumerate(listed.items()):
        if name not in digests or digests[name][0] != identity:
            links[name] = held / str(number)
            try:
                os.link(Path(settings.VAR, name), links[name])
            except FileNotFoundError:
                break  # replaced just now: the next listing tells
    return links


def _files_in(path: Path) -> Iterator[Path]:
    """Yield regular files; no locks, and nothing half written."""
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not is_unfinished(name)]
        for name in names:
            file = Path(folder, name)
            if not is_unfinished(name) and file.suffix != ".lock" and file.is_file():
                yield file


def is_unfinished(name: str) -> bool:
    """Whether `write_whole` writes under this name."""
    return name.startswith(".") and name.endswith(".new")


def _digest(file: Path, size: int) -> str:
    with _first_bytes(file, size) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _first_bytes(file: Path, size: int) -> io.BufferedReader:
    """Open a file that ends after so many bytes, whatever is appended to it meanwhile."""
    return io.BufferedReader(_FirstBytes(file.open("rb", buffering=0), size))


class _FirstBytes(io.RawIOBase):
    def __init__(self, file: io.FileIO, size: int) -> None:
        self._file, self._size = file, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = max(0, self._size - self._file.tell())
        return self._file.readinto(memoryview(buffer)[:left])

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            return self._file.seek(self._size + offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def _put(file: _HeldFile) -> None:
    """Store an object, unless a process that was killed has stored it."""
    name = file.row.object
    with _first_bytes(file.path, file.row.bytes) as content:
        stored = default_storage.save(name, File(content))
    if stored != name:  # it was there
        default_storage.delete(stored)


def _note_loose(names: list[str]) -> list[str]:
    at = now()
    LooseObject.objects.bulk_create(
        [LooseObject(name=name, since=at) for name in names],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["since"],
    )
    return names


def _delete_objects(names: list[str]) -> None:
    for name in names:
        default_storage.delete(name)
    LooseObject.objects.filter(name__in=names).delete()
