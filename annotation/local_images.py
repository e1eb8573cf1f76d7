"""Image files as local files, for code that needs paths, from any storage."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.core.files.storage import default_storage

from annotation.saving import write_shared

logger = logging.getLogger(__name__)
THREADS = 16  # they mostly wait for the storage
USES = "counts"  # of the cache: hits and fetches
CHUNK = 1024  # names read at a time, so that their iterator can stop in between


@contextmanager
def local_images(names: Iterable[str]) -> Iterator[Path]:
    """Provide a folder with the images under their names in the storage.

    For a storage on the local disk this is its own folder, and `names` is not read. For others, missing files
    are fetched into a cache below LAUREL_VAR that processes share: checked against the hash in their name,
    and moved into place atomically. The cache keeps to IMAGE_CACHE_BYTES by removing the least recently used
    files, but none that were requested while the folder is in use: it may be larger meanwhile.

    An image that the storage lacks is missing in the folder, as on a local disk. So is one of which it has
    other bytes than were stored, after it was logged.

    Raises: what the storage raises where it cannot be reached, and what `names` raises.
    """
    stored = local_root()
    if stored is not None:
        yield stored
        return
    cache = Path(settings.IMAGE_CACHE_DIR)
    (cache / "images").mkdir(parents=True, exist_ok=True)
    fetched = True  # perhaps, until all are there
    try:
        with _using(cache):
            fetched = _fetch_missing(names, cache)
            if fetched:
                _trim(cache)
            yield cache / "images"
    finally:
        if fetched:
            _trim(cache)


def local_root() -> Path | None:
    """Return the folder of a storage on the local disk; None for other storages."""
    try:
        return Path(default_storage.path(""))
    except NotImplementedError:
        return None


def _touch(file: Path) -> bool:
    """Mark a cached file as used now. Returns: whether it exists."""
    try:
        os.utime(file)
    except FileNotFoundError:
        return False
    return True


def _fetch_missing(names: Iterable[str], cache: Path) -> bool:
    """Fetch the files not in the cache, and mark the others as used. Returns: whether any was missing."""
    folder, remaining = cache / "images", iter(names)
    hits = fetches = 0
    with ThreadPoolExecutor(THREADS) as pool:
        while chunk := list(islice(remaining, CHUNK)):
            with _locked(cache, fcntl.LOCK_SH):
                different = dict.fromkeys(chunk)
                missing = [name for name in different if not _touch(folder / cached_name(name))]
            for _ in pool.map(lambda name: fetch_object(name, folder / cached_name(name)), missing):
                fetches += 1
            hits += len(different) - len(missing)
    _count_uses(cache, hits, fetches)
    return fetches > 0


def read_uses() -> tuple[int, int]:
    """Return how many files were asked of the cache that were there, and that had to be fetched."""
    try:
        return _uses((Path(settings.IMAGE_CACHE_DIR) / USES).read_bytes())
    except OSError:
        return 0, 0


def _count_uses(cache: Path, hits: int, fetches: int) -> None:
    """Add to what all processes of this host have counted. It is a figure: where it is lost, nothing ends."""
    try:
        with (cache / USES).open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            before = _uses(file.read())
            file.truncate(0)
            file.write(b"%d %d" % (before[0] + hits, before[1] + fetches))
    except OSError as error:
        logger.warning("the uses of the cache are not counted: %s", error)


def _uses(content: bytes) -> tuple[int, int]:
    try:
        hits, fetches = map(int, content.split())
    except ValueError:
        return 0, 0  # nothing yet, or what a full disk or a crash left of it
    return hits, fetches


def cached_name(name: str) -> str:
    """Return the name in the cache of an object that is named by its hash: ab/ab12...ef, with its suffix."""
    file = Path(name).name
    return f"{file[:2]}/{file}"


class _OtherBytes(Exception):
    """A file in the storage is not what was stored."""


def fetch_object(name: str, file: Path) -> None:
    """Copy an object that is named by its hash from the storage, if the storage has it as it was stored."""
    try:
        source = default_storage.open(name)
    except FileNotFoundError:
        return
    digest = hashlib.sha256()
    with suppress(_OtherBytes), source, write_shared(file) as copy:
        for piece in source.chunks():
            digest.update(piece)
            copy.write(piece)
        if digest.hexdigest() != Path(name).stem:
            size = f"{copy.tell():,}"
            logger.warning("%s: the storage has %s bytes that are not what was stored", name, size)
            raise _OtherBytes


@contextmanager
def _locked(cache: Path, mode: int) -> Iterator[None]:
    """Lock the cache: shared for readers, exclusive for removal."""
    with (cache / "lock").open("a+") as lock:  # over NFS a shared lock needs a file that may be read
        fcntl.flock(lock, mode)
        yield


@contextmanager
def _using(cache: Path) -> Iterator[None]:
    """Protect files touched or fetched from now on from removal, until this ends or the process dies.

    A use is represented by a file that is created when it begins and is locked while it lasts.
    """
    file = cache / "uses" / uuid4().hex
    file.parent.mkdir(exist_ok=True)
    with _locked(cache, fcntl.LOCK_SH):
        use = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR)
        fcntl.flock(use, fcntl.LOCK_EX)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(use)


def _used_since(cache: Path) -> float:
    """Return when the oldest current use began, in nanoseconds; infinity without one."""
    since = math.inf
    for use in (cache / "uses").iterdir():
        with suppress(FileNotFoundError), use.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                since = min(since, os.fstat(file.fileno()).st_mtime_ns)
            else:
                use.unlink()  # its process was killed
    return since


def _trim(cache: Path) -> None:
    """Remove the least recently used files that are not in use, until the cache is within its limit."""
    with _locked(cache, fcntl.LOCK_EX):
        since = _used_since(cache)
        files = []
        for folder in os.scandir(cache / "images"):
            for file in os.scandir(folder):
                with suppress(FileNotFoundError):  # a temporary file was just renamed
                    status = file.stat()
                    files.append((status.st_mtime_ns, status.st_size, file.path))
        excess = sum(size for _, size, _ in files) - settings.IMAGE_CACHE_BYTES
        for used, size, path in sorted(files):
            if excess <= 0 or used >= since:
                break
            with suppress(FileNotFoundError):
                os.unlink(path)
            excess -= size
