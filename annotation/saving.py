"""Atomic writes of files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_whole(file: Path) -> Iterator[Path]:
    """Provide a temporary path beside the file; when the block ends, it replaces the file.

    If the process is killed, the file has either its old or its new content. An exception in the block leaves
    the file unchanged and removes the temporary one. Callers must prevent concurrent writers.
    """
    unfinished = file.with_name(f".{file.name}.new")
    try:
        yield unfinished
        unfinished.replace(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
