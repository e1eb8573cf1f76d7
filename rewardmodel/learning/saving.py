"""Files and folders that are written whole or not at all, also where the disk is full or the power fails.

`write_whole` is the way to write one; `saving` words the failure for whoever must move files by hand.
"""

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
def saving(path: Path) -> Iterator[None]:
    """Turn whatever a full disk raises within into NotSaved, which says that the older file stays."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # torch's writer raises the last
        cause: BaseException = error
        while not isinstance(cause, OSError) and (cause.__cause__ or cause.__context__):
            cause = cause.__cause__ or cause.__context__ or cause
        kept = "what was saved there before stays" if path.exists() else "nothing was saved there before"
        raise NotSaved(f"{path}: cannot be saved ({cause}); {kept}") from error


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or a folder at; on leaving, it replaces what is at `path`.

    Killed at any moment, this leaves what was at `path` or what was written, never a part. A folder that is
    replaced lies for an instant at `replaced_folder(path)`, where a kill at that instant leaves it: no folder
    that is not empty can be renamed over.

    Raises: NotSaved; what was at `path` is as it was, and nothing new lies beside it.
    """
    written = path.with_name(f".{path.name}.new")
    _remove(written)
    try:
        with saving(path):
            yield written
            sync(written)
            if path.is_dir():
                _replace_folder(path, written)
            else:
                os.replace(written, path)
            sync_name(path)
    except BaseException:
        _remove(written)
        raise
    _remove(replaced_folder(path))


def replaced_folder(folder: Path) -> Path:
    """Where a folder lies while `write_whole` puts another in its place."""
    return folder.with_name(f".{folder.name}.old")


def _replace_folder(path: Path, written: Path) -> None:
    """Put a folder in another's place. Where that fails, the older one is back."""
    replaced = replaced_folder(path)
    _remove(replaced)
    os.replace(path, replaced)
    try:
        os.replace(written, path)
    except BaseException:
        os.replace(replaced, path)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
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
