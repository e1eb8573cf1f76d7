"""Files that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_whole(file: Path) -> Iterator[Path]:
    """Give a path beside the file to write to; when the block ends, it replaces the file.

    If the process is killed at any moment, the file is what it was or what was written, never a part. An
    exception in the block leaves the file as it was, and nothing beside it. Two writers at once are kept
    apart by the caller.
    """
    unfinished = file.with_name(f".{file.name}.new")
    try:
        yield unfinished
        unfinished.replace(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
