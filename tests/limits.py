"""Faults of a machine, as limits of this process: a full disk, no more files to open."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """Let this process have no more while the block runs. Args: what: as resource.RLIMIT_FSIZE, in bytes."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))
