"""Who holds the folder LAUREL_VAR: one supervisor at a time. And the short folder of its sockets."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyRunning(Exception):
    """Another supervisor holds the folder; the message says what it serves."""


class UnsafeFolder(Exception):
    """A folder of that name is there already and belongs to somebody else."""


@contextmanager
def hold(var: Path, *, serving: str) -> Iterator[None]:
    """Hold the folder until the block ends; the kernel lets go of it when we are killed.

    Args: serving: what others are told while we hold it.
    Raises: AlreadyRunning.
    """
    var.mkdir(parents=True, exist_ok=True)
    with open(var / "laurel.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(lock.read().strip()) from None
        lock.truncate(0)
        lock.write(serving)
        lock.flush()
        yield


def make_private(folder: Path, *, owner: int | None = None) -> None:
    """Make a folder that only its owner can enter; we are the owner unless another uid is given.

    Raises: UnsafeFolder when it belongs to a third, who could listen in our place.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), owner}:
        raise UnsafeFolder(f"{folder} is not ours (owner: uid {found.st_uid}); remove it and start again")
    folder.chmod(0o700)
    if owner is not None and found.st_uid != owner:
        os.chown(folder, owner, owner)
