"""Files that are written whole or not at all, also where the disk is full or the power fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


class NotSaved(OSError):
    """A file could not be written, a full disk most likely; what was saved in its place before is whole."""


@contextmanager
def saving(place: Path) -> Iterator[None]:
    """Say what could not be saved, and that the older one stays. Raises: NotSaved."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # torch's writer raises the last
        cause: BaseException = error
        while not isinstance(cause, OSError) and (cause.__cause__ or cause.__context__):
            cause = cause.__cause__ or cause.__context__ or cause
        kept = "what was saved there before stays" if place.exists() else "nothing was saved there before"
        raise NotSaved(f"{place}: cannot be saved ({cause}); {kept}") from error


@contextmanager
def whole(place: Path) -> Iterator[Path]:
    """Give a path beside the place, where a file or a folder is to be written; then it takes the place.

    A file that is there gives way, a folder that is there must be empty. Killed at any moment, this leaves in
    the place what was there or what was written, never a part.

    Raises: NotSaved; what was in the place is as it was, and nothing lies beside it.
    """
    written = place.with_name(f".{place.name}.new")
    _remove(written)
    try:
        with saving(place):
            yield written
            sync(written)
            os.replace(written, place)
            sync_name(place)
    except BaseException:
        _remove(written)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's files and their names, are on the disk."""
    for each in (*(file for file in path.rglob("*") if file.is_file()), path):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_name(path: Path) -> None:
    """Wait until it is on the disk that the path has this name."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
