"""Processes that are ours, found again by a mark in their environment, whoever started or orphaned them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

# Inherited by children's children too: a run that a worker started is found when the worker is dead.
MARK = "LAUREL_SERVICE"


def spawn(
    name: str, command: Sequence[str], *, var: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own (Ctrl-C reaches only us), its output in one pipe."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {}), MARK: f"{var}:{name}"},
    )


def find_marked(var: Path, name: str | None = None) -> list[psutil.Process]:
    """The living processes of one service of this folder, or of all of them, ourselves left out."""
    found = []
    for process in psutil.process_iter():
        try:
            folder, _, service = process.environ().get(MARK, "").rpartition(":")
        except psutil.Error:
            continue  # gone since, or another person's
        if folder == str(var) and name in (None, service) and process.pid != os.getpid():
            found.append(process)
    return found


def end(
    processes: Iterable[psutil.Process], *, by: signal.Signals = signal.SIGTERM, patience: float = 5.0
) -> None:
    """Ask each process to end, wait so many seconds for all of them, then kill what is left."""
    processes = list(processes)
    _send(processes, by)
    for deadline, last_word in ((time.monotonic() + patience, signal.SIGKILL), (time.monotonic() + 60, None)):
        while (left := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not left or last_word is None:
            return
        _send(left, last_word)


def end_orphans(var: Path) -> int:
    """Stop what an earlier supervisor of this folder left behind when it was killed; how many there were.

    Postgres goes last and by SIGINT, its fast shutdown: others may still be writing to it.
    """
    orphans = find_marked(var)
    postgres = set(find_marked(var, "postgres"))
    end(process for process in orphans if process not in postgres)
    end(postgres, by=signal.SIGINT, patience=20)
    return len(orphans)


def _send(processes: Iterable[psutil.Process], what: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(what)


def _lives(process: psutil.Process) -> bool:
    try:
        # In a container without an init nobody buries our orphans: a zombie is as good as gone.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
