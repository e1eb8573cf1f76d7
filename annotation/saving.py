"""Atomic writes of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

UNFINISHED = ".new-"  # begins the name of a file that `write_shared` has not finished


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


@contextmanager
def write_shared(file: Path) -> Iterator[BinaryIO]:
    """Provide an empty file, in a folder that is made; when the block ends, it takes the name, synced.

    Others may be writing the same meanwhile: whoever reads sees one of the files, whole. An exception in the
    block leaves nothing; a process that is killed, a file that begins with UNFINISHED.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{UNFINISHED}{uuid4().hex}")
    try:
        with unfinished.open("xb") as content:
            yield content
            content.flush()
            os.fsync(content.fileno())  # otherwise a power failure may leave an empty file
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
