"""The processes of a folder's services, found by a mark in their environment even when they are orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

# Inherited by all descendants, so that a run is found after the worker that started it died.
MARK = "LAUREL_SERVICE"


def spawn(
    name: str, command: Sequence[str], *, var: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, which Ctrl-C does not reach, with its output in one pipe."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {}), MARK: f"{var}:{name}"},
    )


def find_marked(var: Path, name: str | None = None) -> list[psutil.Process]:
    """Return the processes of one service of this folder, or of all of them, except the current process."""
    marked = []
    for process in psutil.process_iter():
        try:
            folder, _, service = process.environ().get(MARK, "").rpartition(":")
        except psutil.Error:
            continue  # exited since, or another user's
        if folder == str(var) and name in (None, service) and process.pid != os.getpid():
            marked.append(process)
    return marked


def end(
    processes: Iterable[psutil.Process], *, by: signal.Signals = signal.SIGTERM, patience: float = 5.0
) -> None:
    """Send each process the signal, wait `patience` seconds for all of them, then kill what is left."""
    processes = list(processes)
    _send(processes, by)
    for deadline, next_signal in (
        (time.monotonic() + patience, signal.SIGKILL),
        (time.monotonic() + 60, None),
    ):
        while (left := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not left or next_signal is None:
            return
        _send(left, next_signal)


def end_orphans(var: Path) -> int:
    """Stop the processes of an earlier, killed supervisor of this folder; return how many.

    Postgres is stopped last, by SIGINT, its fast shutdown: others may still be writing to it.
    """
    orphans = find_marked(var)
    postgres = set(find_marked(var, "postgres"))
    end(process for process in orphans if process not in postgres)
    end(postgres, by=signal.SIGINT, patience=20)
    return len(orphans)


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _lives(process: psutil.Process) -> bool:
    try:
        # In a container without an init nobody reaps orphans: a zombie counts as ended.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
