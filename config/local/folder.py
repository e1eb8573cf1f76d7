"""The lock of LAUREL_VAR, for one supervisor at a time, and folders that only their owner can enter."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyRunning(Exception):
    """Another supervisor holds the lock; the message says what it serves."""


class UnsafeFolder(Exception):
    """A folder of that name exists already and belongs to another user."""


@contextmanager
def hold(var: Path, *, serving: str) -> Iterator[None]:
    """Lock the folder while the block runs; the kernel unlocks it when the process dies.

    Args: serving: the message of AlreadyRunning for others.
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
    """Create a folder that only its owner can enter: the current user, or the uid given.

    Raises: UnsafeFolder when it belongs to a third user, who could listen there instead.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {os.geteuid(), owner}:
        raise UnsafeFolder(f"{folder} is not ours (owner: uid {status.st_uid}); remove it and start again")
    folder.chmod(0o700)
    if owner is not None and status.st_uid != owner:
        os.chown(folder, owner, owner)
