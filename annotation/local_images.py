"""Image files as files on this machine, for what reads paths, wherever the storage keeps them."""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.core.files.storage import default_storage

THREADS = 16  # most of the time each waits for the storage
CHUNK = 1024  # names taken at a time, so that whoever gives them can stop in between


class WrongContent(Exception):
    """The storage has other bytes under an image's name than were stored there; the message names it."""


@contextmanager
def local_images(names: Iterable[str]) -> Iterator[Path]:
    """Give a folder in which images lie under their names in the storage.

    A storage on the local disk gives its own folder; `names` is not even read. Of any other, what is missing
    is fetched into a cache below LAUREL_VAR that processes share: checked against the hash that names it,
    and in its place whole or not at all. The cache keeps to IMAGE_CACHE_BYTES by removing what was used
    longest ago, but nothing that was asked for while the folder is in use: for that long it may be larger.

    An image that the storage lacks is missing in the folder, as on a local disk: whoever opens it says so.

    Raises: WrongContent; what the storage raises where it cannot be reached, and what `names` raises.
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
    """The folder of a storage on the local disk; None for any other storage."""
    try:
        return Path(default_storage.path(""))
    except NotImplementedError:
        return None


def _touch(file: Path) -> bool:
    """Note that a file of the cache is used now. Returns: whether it is there."""
    try:
        os.utime(file)
    except FileNotFoundError:
        return False
    return True


def _fetch_missing(names: Iterable[str], cache: Path) -> bool:
    """Fetch what is not in the cache yet; the rest is used now. Returns: whether anything was missing."""
    folder, fetched, remaining = cache / "images", False, iter(names)
    with ThreadPoolExecutor(THREADS) as pool:
        while chunk := list(islice(remaining, CHUNK)):
            with _locked(cache, fcntl.LOCK_SH):
                missing = [name for name in dict.fromkeys(chunk) if not _touch(folder / name)]
            for _ in pool.map(lambda name: _fetch(name, folder / name), missing):
                fetched = True
    return fetched


def _fetch(name: str, file: Path) -> None:
    """Copy an image from the storage, unless the storage lacks it. Raises: WrongContent."""
    try:
        with default_storage.open(name) as stored:
            content = stored.read()
    except FileNotFoundError:
        return
    if hashlib.sha256(content).hexdigest() != file.stem:
        raise WrongContent(f"{name}: the storage has {len(content):,} bytes that are not this image")
    file.parent.mkdir(exist_ok=True)
    descriptor, written = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with open(descriptor, "wb") as copy:
            copy.write(content)
            copy.flush()
            os.fsync(descriptor)  # else a power failure may leave an empty file under the name
        os.replace(written, file)
    finally:
        Path(written).unlink(missing_ok=True)


@contextmanager
def _locked(cache: Path, how: int) -> Iterator[None]:
    """Shared by those who rely on what they find; exclusive for whoever removes some of it."""
    with (cache / "lock").open("a+") as lock:  # over NFS a shared lock needs a file that may be read
        fcntl.flock(lock, how)
        yield


@contextmanager
def _using(cache: Path) -> Iterator[None]:
    """Keep what is touched or fetched from now on from being removed, until this ends or its process dies.

    A use is a file that is made as it begins and stays locked while it lasts.
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
    """When the oldest use that still lasts began, in nanoseconds; infinity where there is none."""
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
    """Remove what was used longest ago and is in no use, until the cache is within its bound."""
    with _locked(cache, fcntl.LOCK_EX):
        since = _used_since(cache)
        files = []
        for folder in os.scandir(cache / "images"):
            for file in os.scandir(folder):
                with suppress(FileNotFoundError):  # a file being fetched just took its name
                    found = file.stat()
                    files.append((found.st_mtime_ns, found.st_size, file.path))
        excess = sum(size for _, size, _ in files) - settings.IMAGE_CACHE_BYTES
        for used, size, path in sorted(files):
            if excess <= 0 or used >= since:
                break
            with suppress(FileNotFoundError):
                os.unlink(path)
            excess -= size
