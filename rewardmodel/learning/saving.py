"""Files that are written whole or not at all, also where the disk is full or the power fails."""

from __future__ import annotations

import os
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


def sync(folder: Path) -> None:
    """Wait until the folder's files, and their names, are on the disk."""
    for path in (*(each for each in folder.rglob("*") if each.is_file()), folder):
        descriptor = os.open(path, os.O_RDONLY)
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
