"""The worker's side of a run: starts a fresh process for it, watches that, and takes note when it dies."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Callable
from time import monotonic, sleep

from django.db import InterfaceError, OperationalError, connection
from django.utils.timezone import now

from annotation import jobs
from annotation.stored_files import open_file
from rewardmodel.models import Run
from rewardmodel.runs import states
from rewardmodel.runs.execution import retry_on_database_error
from rewardmodel.runs.folders import RunFolder
from rewardmodel.runs.launching import command_line, environment

logger = logging.getLogger(__name__)
WATCH_SECONDS = 0.5
# So long a process may take from being told to stop until its checkpoint is written; then it is killed.
GRACE_SECONDS = 60.0
TAIL_BYTES = 4000


def supervise(run: Run, *, should_stop: Callable[[], bool]) -> None:
    """Claim the run, do its work in a fresh process, and return when that is gone.

    A fresh process gives its memory back, takes no worker down with it, and stops by a signal.

    Args: should_stop: true when this worker is shutting down; the run then goes back to the queue.
    Raises: JobLost when the run is over or another's.
    """
    states.claim(run, now=now())
    folder = RunFolder(run)
    folder.take_up()
    with run.log.open("ab", buffering=0) as log:
        of_request = f", request {run.request_id}" if run.request_id else ""
        log.write(f"-- {now():%Y-%m-%d %H:%M:%S} attempt {run.attempt}{of_request}\n".encode())
        # A session of its own: Ctrl-C in a terminal reaches the worker alone, which then stops this in order.
        process = subprocess.Popen(
            command_line(run, grace_seconds=GRACE_SECONDS - 5),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(run),
            start_new_session=True,
        )
    logger.info("%s, attempt %d: process %d", run, run.attempt, process.pid)
    try:
        _watch(process, run, should_stop)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        _hand_over(folder)
    if process.returncode != 0:
        retry_on_database_error(lambda: _note_crash(run, process.returncode))


def worker_is_closing() -> bool:
    """Whether the worker that this is called in was told to shut down.

    One that runs tasks in its main process sees its own signals here; the exit status may be 0.
    """
    from celery.worker import state as worker  # only a worker needs all of celery.worker

    return any(
        flag is not None and flag is not False for flag in (worker.should_stop, worker.should_terminate)
    )


def log_tail(run: Run) -> str:
    """The end of the run's log."""
    try:
        with open_file(run.log) as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            return log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _hand_over(folder: RunFolder) -> None:
    """Let every host have what the process left, such as the end of its log."""
    try:
        folder.hand_over()
    except jobs.JobLost as lost:
        logger.warning("%s", lost)
    except Exception:  # of the storage: whoever takes the run over goes on from what was stored before
        logger.exception("%s: its folder cannot be stored", folder.run)


def _watch(process: subprocess.Popen[bytes], run: Run, should_stop: Callable[[], bool]) -> None:
    """Wait for the process to end; tell it to stop when the run is cancelled or the worker is closing."""
    deadline: float | None = None
    while process.poll() is None:
        if deadline is None and (should_stop() or _cancel_requested(run)):
            process.send_signal(signal.SIGTERM)
            deadline = monotonic() + GRACE_SECONDS
        elif deadline is not None and monotonic() > deadline:
            process.kill()
        sleep(WATCH_SECONDS)


def _cancel_requested(run: Run) -> bool:
    try:
        return type(run)._default_manager.filter(pk=run.pk, cancel_requested=True).exists()
    except (OperationalError, InterfaceError):
        connection.close()  # Postgres restarts; the process sends its heartbeat by itself
        return False


def _note_crash(run: Run, status: int) -> None:
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    try:
        states.record_crash(run, error=f"The process ended with {how}.\n{log_tail(run)}", now=now())
    except jobs.JobLost:
        return  # it was moved on before it died
    logger.error("%s: the process ended with %s", run, how)
